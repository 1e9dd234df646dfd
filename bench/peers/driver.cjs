// Runs the CDK's own Node.js code for custom resources. JSON lines come in and go out:
//   in   {"code": FILE, "entry": NAME, "event": {...}}         one invocation
//        {"result": {...}}                                      the answer to an "invoke"
//   out  {"invoke": {...}}                                      a function or state machine is called
//        {"put": BODY}                                          what is sent to the response URL
//        {"done": true} or {"error": NAME, "message": TEXT}     the invocation has ended
'use strict';
const https = require('https');
const Module = require('module');
const path = require('path');
const readline = require('readline');

const send = (line) => process.stdout.write(JSON.stringify(line) + '\n');
console.log = console.error = console.info = () => {};

// The host of the response URL does not exist: what is sent is passed on instead.
https.request = (options, callback) => {
  let body = '';
  return {
    on: () => {},
    write: (text) => { body += text; },
    end: () => {
      send({ put: body });
      process.nextTick(callback, { statusCode: 200, resume: () => {} });
    },
  };
};

// The framework's clients of Lambda and Step Functions are replaced below, so they are not needed.
const load = Module._load;
Module._load = (name, ...rest) =>
  /^@aws-sdk\/client-(lambda|sfn)$/.test(name) ? {} : load(name, ...rest);

const lines = readline.createInterface({ input: process.stdin });
const waiting = [];
const call = (what) => new Promise((resolve) => { waiting.push(resolve); send({ invoke: what }); });

function entryOf(code, entry) {
  const module = require(code);
  if (entry !== 'handler') {
    const outbound = require(path.join(path.dirname(code), 'outbound.js'));
    outbound.invokeFunction = (request) => call({ function: request.FunctionName, payload: request.Payload });
    outbound.startExecution = (request) => call({ machine: request.stateMachineArn, input: request.input });
  }
  return module[entry];
}

lines.on('line', (text) => {
  const line = JSON.parse(text);
  if ('result' in line) {
    waiting.shift()(line.result);
    return;
  }
  entryOf(line.code, line.entry)(line.event, { logStreamName: 'stream' }).then(
    () => send({ done: true }),
    (error) => send({ error: error.constructor.name, message: error.message }),
  );
});
lines.on('close', () => process.exit(0));
