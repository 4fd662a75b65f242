// Texts as a JSON list on standard input; how the npm package sms-segments-calculator would send each, on standard output.
"use strict";
const { SegmentedMessage } = require("sms-segments-calculator");

const texts = JSON.parse(require("fs").readFileSync(0, "utf8"));
const measured = texts.map((text) => {
  const message = new SegmentedMessage(text);
  // A segment is a kind of Array whose own filter() adds headers; Array.from makes a plain one.
  const pieces = message.segments.map((segment) => Array.from(segment).map((part) => part.raw || "").join(""));
  const units = message.encodedChars.reduce((sum, part) => sum + part.codeUnits.length, 0);
  return { encoding: message.encodingName, segments: message.segmentsCount, units, pieces };
});
process.stdout.write(JSON.stringify(measured));
