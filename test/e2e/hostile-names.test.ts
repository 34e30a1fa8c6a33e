import assert from 'node:assert/strict'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import test from 'node:test'
import { errandCommand } from '../support/errand-command.ts'

/** A name that tries what no name may do to a terminal or its reader: steer it, or reverse text. */
const bad = 'x\x1b[2J\x1b]0;t\x07\x9b31m\x85\x00\r\u202ey\u2066z\u200f\u2028!'
const time = '2026-01-01T00:00:00.000Z'
const failed = { status: 'failed', reason: bad, message: bad } as const
const run = {
  ...{ run_id: bad, blueprint: bad, workflow_name: bad, owner: bad, created_at: time, waiting: bad },
  ...failed,
}
const attempt = { attempt_id: bad, number: 1, try: 1, runner: bad }
const step = {
  ...{ step: bad, phase: bad, action: bad, approval: { message: bad }, ...failed },
  instances: [{ host: bad, vars: { [bad]: bad }, waiting: bad, ...failed, attempts: [attempt] }],
}
const agents = [
  { name: bad, title: bad, installed: true, version: bad, usable: false, why: bad, install: bad },
]
const runner = {
  ...{ id: bad, group: bad, status: bad, hostname: bad, cpus: 1, memory: bad, connected_at: bad, mode: bad },
  ...{ labels: { [bad]: bad }, version: bad, slots: 1, running: 0, last_seen_at: bad, agents },
  containers: { engine: bad, version: bad },
}
const bot = {
  ...{ bot_id: bad, owner: bad, state: bad, run_id: bad, runner: bad, deployment_mode: bad, image: bad },
  ...{ message: bad, reason: bad, created_at: bad, env_vars: [bad], env: { [bad]: bad } },
  limits: { memory: bad, cpus: 1, processes: 1, disk: bad, log: bad },
  restart: { policy: bad, max_restarts: 1 },
  update: { state: bad, message: bad, run_id: bad },
}
const event = (seq: number, type: string, more: object) => ({ seq, time, type, ...more })
const instances = [
  { host: bad, vars: { A: bad } },
  { host: bad, ended: { status: 'failed', reason: 'when_error', message: bad } },
]
const end = { attempt: 1, step: bad, host: bad, outcome: 'failed', reason: 'action_failed', message: bad }
const log = [
  event(1, 'run.created', { workflow_name: bad, vars: {} }),
  event(2, 'run.waiting', { why: bad }),
  event(3, 'step.started', { step: bad, phase: 'main', instances }),
  event(4, 'attempt.created', {
    ...{ attempt: 1, step: bad, phase: 'main', instance: 0, host: bad, try: 1, epoch: 0, waiting: bad },
  }),
  event(5, 'attempt.phase', { attempt: 1, phase: bad, message: bad }),
  event(6, 'attempt.finished', { ...end, output_files: { stdout: bad } }),
  event(7, 'approval.requested', { step: bad, phase: 'main', instance: 0, message: bad }),
  event(8, 'approval.answered', {
    step: bad,
    phase: 'main',
    instance: 0,
    decision: 'reject',
    by: bad,
    comment: bad,
  }),
  event(9, 'child.started', { step: bad, phase: 'main', instance: 0, run_id: bad }),
  event(10, 'child.finished', { step: bad, phase: 'main', instance: 0, run_id: bad, status: 'failed' }),
  event(11, 'step.finished', { step: bad, phase: 'main', ...failed }),
  event(12, 'step.skipped', { step: bad, phase: 'main', reason: 'upstream', message: bad }),
  event(13, 'run.finished', { ...failed, outputs: { A: bad } }),
]
const answers: Record<string, unknown> = {
  '/api/runs': { runs: [run], next_cursor: bad },
  '/api/runs/r': {
    ...run,
    vars: {},
    steps: [step],
    rollback: { run_id: bad, status: 'success' },
    last_seq: 13,
  },
  '/api/runners': [runner],
  '/api/runners/r': {
    ...runner,
    attempts: [{ attempt_id: bad, run_id: bad, workflow_name: bad, step: bad, host: bad, owner: bad }],
  },
  '/api/users': {
    users: [{ id: bad, name: bad, role: bad, tenant: bad, disabled: false, created_at: bad }],
  },
  '/api/tokens': {
    tokens: [{ id: bad, name: bad, scope: bad, status: bad, user: bad, group: bad, created_at: bad }],
  },
  '/api/secrets': { secrets: [{ name: bad, scope: { workflow: bad }, updated_at: bad, updated_by: bad }] },
  '/api/bots': { bots: [bot] },
  '/api/bots/r': bot,
  '/health/agents': { agents: { [bad]: { ...agents[0], runners: [{ id: bad, usable: true }] } } },
}

test('for any answer of a hub, no list, page or error on the command line controls a terminal or reverses text', async (t) => {
  const server = createServer(({ url = '' }, response) => {
    const { pathname } = new URL(url, 'http://hub')
    if (pathname === '/api/runs/r/events') {
      response.setHeader('content-type', 'text/event-stream')
      return response.end(log.map((one) => `id: ${one.seq}\ndata: ${JSON.stringify(one)}\n\n`).join(''))
    }
    response.setHeader('content-type', 'application/json')
    const answer = answers[pathname]
    if (answer === undefined) response.statusCode = 404
    const error = { code: 'run_not_found', message: bad, hint: bad }
    response.end(JSON.stringify(answer ?? { error }))
  }).listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const errand = errandCommand(t)
  const lists = [
    ['runs', 'list'],
    ['runs', 'show', 'r'],
    ['runners', 'list'],
    ['runners', 'show', 'r'],
    ['users', 'list'],
    ['tokens', 'list'],
    ['secrets', 'list'],
    ['bot', 'list', '--all'],
    ['bot', 'status', 'r'],
    ['agents', 'list', '--hub'],
  ]
  const commands = [
    ...lists,
    ...lists.map((words) => [...words, '--json']),
    ['runs', 'logs', 'r'],
    ['runs', 'show', 'q'],
  ]
  for (const words of commands) {
    const { stdout, stderr, code } = await errand.run([...words, '--url', url, '--token', 't'])
    const printed = stdout + stderr
    assert.equal(code, words.includes('q') ? 7 : 0, `${words.join(' ')}: ${printed}`)
    assert.match(printed, /x/, words.join(' '))
    assert.doesNotMatch(printed, /[\x00-\x09\x0b-\x1f\x7f-\x9f\u200f\u202e\u2066]/, words.join(' '))
    if (words.includes('--json'))
      assert.ok(
        stdout.includes('\\u202ey') && JSON.stringify(JSON.parse(stdout)).includes(JSON.stringify(bad)),
      )
  }
})

test('a file with names that would do so is refused, and so are such labels, hosts and groups', async (t) => {
  const errand = errandCommand(t)
  const file = join(errand.home, 'flow.yaml')
  const ok = { version: 'v0.1', name: 'w', steps: [{ name: 's', action: 'noop' }] }
  const host = (more: object) => ({ ...ok, inventory: { hosts: { h: more } } })
  for (const workflow of [
    { ...ok, name: 'a\u202eb' },
    { ...ok, steps: [{ name: 'a\u0085b', action: 'noop' }] },
    { ...ok, inventory: { hosts: { 'a\u009bb': {} } } },
    { ...ok, concurrency: { group: 'a\u2066b' } },
    host({ runner: 'a\u001bb' }),
    host({ group: 'a\u200fb' }),
    host({ labels: { 'a\u202eb': 'x' } }),
    host({ labels: { a: 'x\u0007' } }),
  ]) {
    writeFileSync(file, JSON.stringify(workflow))
    const { code, stderr } = await errand.run(['validate', file])
    assert.equal(code, 2, JSON.stringify(workflow))
    assert.match(stderr, /must not contain control characters/, stderr)
    assert.doesNotMatch(stderr, /[\x00-\x09\x0b-\x1f\x7f-\x9f\u200f\u202e\u2066]/)
  }
})
