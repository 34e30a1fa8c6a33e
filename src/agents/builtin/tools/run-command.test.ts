import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { ToolFixture } from '../../../../test/support/agents/tool-fixture.ts'
import { processStat } from '../../../platform/proc.ts'
import { OutputEnds } from './run-command.ts'

test('a command returns its exit code, and its output in order', async (context) => {
  const tools = new ToolFixture(context)
  mkdirSync(join(tools.cwd, 'sub'))
  const run = (command: string, more: object = {}) => tools.use('run_command', { command, ...more })
  assert.equal(
    await run('echo out; echo err >&2; pwd', { cwd: 'sub' }),
    `exit code 0\nout\nerr\n${tools.cwd}/sub\n`,
  )
  assert.equal(tools.last?.status, 'completed')
  assert.equal(await run('exit 3'), 'exit code 3\n')
  assert.equal(tools.last?.status, 'failed')
  assert.equal(await run('kill -9 $$'), 'ended by SIGKILL\n')
  // There is no input, and no job of Errand's for which a `wait` would wait.
  assert.equal(await run('cat; sleep 0.01 & wait; echo "$0 $#"'), 'exit code 0\n/bin/sh 0\n')
  assert.match(await run('true', { cwd: 'none' }), /ENOENT/)
  assert.match(await run('a\0b'), /^Error/)
})

test('a command that takes too long is ended together with all its child processes', async (context) => {
  const tools = new ToolFixture(context)
  const command = 'echo begun; setsid sleep 600 & echo $! > pid; wait'
  assert.match(
    await tools.use('run_command', { command, timeout_seconds: 1 }),
    /^ended after 1 s: it took too long\nbegun/,
  )
  assert.equal(processStat(Number(readFileSync(join(tools.cwd, 'pid'), 'utf8'))), undefined)
})

test("a command's background processes end with it", async (context) => {
  const tools = new ToolFixture(context)
  const command = 'sleep 600 & echo $! > pid; setsid sleep 600 & echo $! >> pid; echo done'
  assert.equal(await tools.use('run_command', { command }), 'exit code 0\ndone\n')
  const pids = readFileSync(join(tools.cwd, 'pid'), 'utf8').trim().split('\n').map(Number)
  assert.deepEqual(
    pids.filter((pid) => processStat(pid) !== undefined),
    [],
  )
})

test('the beginning and the end of endless output are kept', async (context) => {
  const tools = new ToolFixture(context)
  const command = 'echo first; head -c 50000000 /dev/zero | tr "\\0" x; echo; echo last'
  const result = await tools.use('run_command', { command })
  assert.match(result, /^exit code 0\nfirst\nx+\n… \(\d+ bytes left out\)\nx+\nlast\n$/)
  assert.ok(result.length < 40_000)
})

test('both ends are kept exactly, no matter how the output is split', () => {
  const text = Array.from({ length: 1000 }, (_, index) => `${index} `).join('')
  for (const step of [1, 7, 64, 5000]) {
    const ends = new OutputEnds(100, 200)
    for (let at = 0; at < text.length; at += step) ends.push(Buffer.from(text.slice(at, at + step)))
    assert.equal(
      ends.text(),
      `${text.slice(0, 100)}\n… (${text.length - 300} bytes left out)\n${text.slice(-200)}`,
    )
  }
  const short = new OutputEnds(100, 200)
  short.push(Buffer.from(text.slice(0, 300)))
  assert.equal(short.text(), text.slice(0, 300))
})

test('a command that is canceled before it starts does not start', async (context) => {
  const tools = new ToolFixture(context)
  tools.cancel.abort()
  assert.match(await tools.use('run_command', { command: 'touch begun' }), /^interrupted/)
  assert.equal(existsSync(join(tools.cwd, 'begun')), false)
})
