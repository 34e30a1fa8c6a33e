import assert from 'node:assert/strict'
import test from 'node:test'
import { createLog, type LogFormat, type LogLevel } from './log.ts'

function logged(format: LogFormat, level: LogLevel, fields?: { runner_id: string }) {
  const lines: string[] = []
  return { lines, log: createLog({ format, level, fields, write: (line) => lines.push(line) }) }
}

test('a JSON line says when, how grave, what, and what it is about', () => {
  const { lines, log } = logged('json', 'info', { runner_id: 'r1' })
  log('Run run_a: "odd"\nnews', { level: 'warn', run_id: 'run_a', attempt_id: undefined })
  log('seen by nobody', { level: 'debug' })
  const { time, ...rest } = JSON.parse(lines[0]!)
  assert.deepEqual(rest, { level: 'warn', msg: 'Run run_a: "odd"\nnews', runner_id: 'r1', run_id: 'run_a' })
  assert.ok(!Number.isNaN(Date.parse(time)))
  assert.deepEqual([lines.length, lines[0]!.indexOf('\n')], [1, lines[0]!.length - 1])
})

test('a line for people is its message, with what it does not say itself', () => {
  const { lines, log } = logged('text', 'debug')
  log('The hub is there.')
  log('Run run_a is broken off.', { level: 'error', run_id: 'run_a', attempt_id: 'run_a.1' })
  assert.deepEqual(lines, ['The hub is there.\n', 'error: Run run_a is broken off. attempt_id=run_a.1\n'])
})

test('no token stands in a line', () => {
  const { lines, log } = logged('json', 'info')
  const tokens = [
    'errand_api_0123456789abcdef',
    'errand_runner_0123456789-_',
    'eyJhbGciOiJI.eyJzdWIiOiIx.c2ln',
  ]
  log(`GET /?access_token=${tokens[0]} with ${tokens[1]}, ${tokens[2]} and Bearer something-else`)
  assert.equal(JSON.parse(lines[0]!).msg, 'GET /?access_token=*** with ***, *** and Bearer ***')
})
