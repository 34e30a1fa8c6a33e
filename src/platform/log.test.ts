import assert from 'node:assert/strict'
import test from 'node:test'
import { createLog, type LogFormat, type LogLevel } from './log.ts'

function logged(format: LogFormat, level: LogLevel, fields?: { runner_id: string }) {
  const lines: string[] = []
  return { lines, log: createLog({ format, level, fields, write: (line) => lines.push(line) }) }
}

test('a JSON line has its time, level, message and context', () => {
  const { lines, log } = logged('json', 'info', { runner_id: 'r1' })
  log('Run run_a: "odd"\nnews', { level: 'warn', run_id: 'run_a', attempt_id: undefined })
  log('seen by nobody', { level: 'debug' })
  const { time, ...rest } = JSON.parse(lines[0]!)
  assert.deepEqual(rest, { level: 'warn', msg: 'Run run_a: "odd"\nnews', runner_id: 'r1', run_id: 'run_a' })
  assert.ok(!Number.isNaN(Date.parse(time)))
  assert.deepEqual([lines.length, lines[0]!.indexOf('\n')], [1, lines[0]!.length - 1])
})

test('a line for people is its message, with the details that the message leaves out', () => {
  const { lines, log } = logged('text', 'debug')
  log('The hub is there.')
  log('Run run_a is broken off.', { level: 'error', run_id: 'run_a', attempt_id: 'run_a.1' })
  assert.deepEqual(lines, ['The hub is there.\n', 'error: Run run_a is broken off. attempt_id=run_a.1\n'])
})

test('no line contains a token', () => {
  const { lines, log } = logged('json', 'info')
  const tokens = [
    'errand_api_0123456789abcdef',
    'errand_runner_0123456789-_',
    'eyJhbGciOiJI.eyJzdWIiOiIx.c2ln',
  ]
  log(`GET /?access_token=${tokens[0]} with ${tokens[1]}, ${tokens[2]} and Bearer something-else`)
  assert.equal(JSON.parse(lines[0]!).msg, 'GET /?access_token=*** with ***, *** and Bearer ***')
})

test('no field of a line contains a token, in any format or level, nor after an escape', () => {
  const path =
    '/api/runs/errand_api_0123456789abcdef/a%2Ferrand_enroll_0123456789abcdef%2FeyJhbGciOiJI.eyJzdWIiOiIx.c2ln'
  const hidden = '/api/runs/***/a%2F***%2F***'
  for (const level of ['debug', 'info', 'warn', 'error'] as const) {
    const json = logged('json', 'debug', { runner_id: 'errand_runner_0123456789-_' })
    json.log(`GET ${path} 404`, { level, path, status: 404, request_id: 'Bearer%20something-else' })
    const { time: _, ...line } = JSON.parse(json.lines[0]!)
    const fields = { path: hidden, status: 404, request_id: 'Bearer%20***', runner_id: '***' }
    assert.deepEqual(line, { level, msg: `GET ${hidden} 404`, ...fields })
    const text = logged('text', 'debug')
    text.log(`GET ${path} 404`, { level, path, request_id: 'Bearer something-else' })
    assert.equal(
      text.lines[0],
      `${level === 'info' ? '' : `${level}: `}GET ${hidden} 404 request_id=Bearer ***\n`,
    )
  }
})
