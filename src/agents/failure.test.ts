import assert from 'node:assert/strict'
import { it } from 'node:test'
import { modelFailureOf } from './failure.ts'

const cases: readonly [string, string][] = [
  ['Incorrect API key provided: sk-x. You can find your API key at https://example.com.', 'auth'],
  ['invalid x-api-key', 'auth'],
  ['Authentication failed with provider at http://127.0.0.1:7803/v1 (HTTP 401).', 'auth'],
  ['Rate limit reached for requests', 'rate_limit'],
  ['You exceeded your current quota, please check your plan.', 'rate_limit'],
  ['retried 5 times (total retry wait time: 51.71 seconds) Last error: 429 slow down', 'rate_limit'],
  ['Overloaded', 'overloaded'],
  ['Last error: 529 try later', 'overloaded'],
  ['The server had an error while processing your request', 'server_error'],
  ['Internal server error', 'server_error'],
  ['Cannot connect to API: Unable to connect. Is the computer able to access the url?', 'unreachable'],
  ['Could not connect to local model provider at http://127.0.0.1:500/v1.', 'unreachable'],
  ['Connection reset by server', 'broken_stream'],
  ['error reading a body from connection: unexpected EOF during chunk size line', 'broken_stream'],
  ['The model `gpt-99` does not exist or you do not have access to it.', 'bad_model'],
  ['model not found: openai/none', 'bad_model'],
  ['It did not work out.', 'other'],
]

for (const [text, failure] of cases)
  it(`classifies "${text}" as ${failure}`, () => assert.equal(modelFailureOf(text), failure))
