import assert from 'node:assert/strict'
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { standInOptions } from '../support/agent-command.ts'
import { errandCommand, eventually } from '../support/errand-command.ts'
import { workflowText } from '../support/programs.ts'

const program = join(import.meta.dirname, '../../bin/errand')
const skip = existsSync('/usr/bin/script')
  ? false
  : 'there is no "script" to make a terminal (Debian\'s package bsdutils)'

/** Runs `errand` in its own terminal: `errand run` with the steps, or with these words. */
function inTerminal(t: TestContext, steps: Parameters<typeof workflowText>[0], words?: readonly string[]) {
  const { home, env } = errandCommand(t)
  const file = join(home, 'flow.yaml')
  writeFileSync(file, workflowText(steps))
  const line = [program, ...(words ?? ['run', file])].map((word) => `'${word}'`).join(' ')
  const terminal: ChildProcessWithoutNullStreams = spawn('/usr/bin/script', ['-qec', line, '/dev/null'], {
    env,
    cwd: home,
  })
  t.after(() => terminal.kill('SIGKILL'))
  const shown = { text: '' }
  terminal.stdout.setEncoding('utf8').on('data', (text) => (shown.text += text))
  const ended = once(terminal, 'close').then(([code]) => code as number)
  return {
    home,
    shown,
    ended,
    type: (text: string) => terminal.stdin.write(text),
    until: (text: string) => eventually(`"${text}"`, () => shown.text.includes(text)),
  }
}

const ask = (name: string, more: object = {}) => ({ name, action: 'approval.wait', ...more })

test('an answer that is neither yes nor no leads to the same question again', { skip }, async (t) => {
  const { until, type, ended, shown } = inTerminal(t, [ask('deploy')])
  await until('Approve "deploy"? [y/N] ')
  type('perhaps\r')
  await until('Answer yes or no (no is the default). Approve "deploy"? [y/N] ')
  type(' YES \r')
  assert.equal(await ended, 0, shown.text)
  assert.match(shown.text, /deploy: approved/)
})

test('steps with simultaneous questions ask one after another, and an empty answer is no', {
  skip,
}, async (t) => {
  const steps = [ask('one', { needs: [] }), ask('two', { needs: [] })]
  const { until, type, ended, shown } = inTerminal(t, steps)
  await until('Approve "one"? [y/N] ')
  type('y\r')
  await until('Approve "two"? [y/N] ')
  type('\r')
  assert.equal(await ended, 1, shown.text)
  assert.match(shown.text, /one: approved[\s\S]*two: rejected/)
})

test('output during an open question appears above it, and the end of the run closes it', {
  skip,
}, async (t) => {
  const talk = { name: 'talk', needs: [], cmd: 'while [ ! -e go ]; do sleep 0.05; done; echo talked' }
  const { until, type, ended, shown, home } = inTerminal(t, [talk, ask('deploy', { needs: [] })])
  await until('Approve "deploy"? [y/N] ')
  type('nonsense')
  await until('nonsense')
  writeFileSync(join(home, 'go'), '')
  await eventually('the question again', () =>
    /talked[\s\S]*Approve "deploy"\? \[y\/N\] nonsense/.test(shown.text),
  )
  assert.match(shown.text, /\r\x1b\[K\x1b\[36mtalk local\x1b\[0m [^\n]* talked\r\n/)
  type('\x03')
  assert.equal(await ended, 3, shown.text)
  assert.match(shown.text, /canceled\x1b\[0m in [^\n]+\n$/)
})

test('the end of input refuses, and Ctrl-C cancels the run', { skip }, async (t) => {
  const refused = inTerminal(t, [ask('deploy')])
  await refused.until('[y/N] ')
  refused.type('\x04')
  assert.equal(await refused.ended, 1, refused.shown.text)
  assert.match(refused.shown.text, /deploy: rejected: the input ended without an answer/)

  const canceled = inTerminal(t, [ask('deploy')])
  await canceled.until('[y/N] ')
  canceled.type('\x03')
  assert.equal(await canceled.ended, 3, canceled.shown.text)
})

test("an agent's question is repeated too", { skip }, async (t) => {
  const words = ['agent', 'ask asked.txt', '--permissions', 'ask', ...standInOptions]
  const { until, type, ended, shown, home } = inTerminal(t, [], words)
  await until('Allow it? [y/N] ')
  type('what?\r')
  await until('Answer yes or no (no is the default). Allow it? [y/N] ')
  type('y\r')
  assert.equal(await ended, 0, shown.text)
  assert.ok(existsSync(join(home, 'asked.txt')), shown.text)
})

test('a live line says what runs and for how long, and disappears when a line comes', { skip }, async (t) => {
  const cmd = 'while [ ! -e go ]; do sleep 0.05; done; printf "\\033[31mred\\033[2J\\033[0m\\n" >&2'
  const { ended, shown, home } = inTerminal(t, [{ name: 'slow', cmd }])
  const times = (): number => new Set(shown.text.match(/… slow on local \(\d+ s\)/g)).size
  await eventually('a live line that continues', () => times() > 1)
  writeFileSync(join(home, 'go'), '')
  assert.equal(await ended, 0, shown.text)
  const [live, after] = shown.text.split('\x1b[31mred')
  assert.match(live!, /\(\d+ s\)\x1b\[0m\x1b\[\?7h\r+\x1b\[K\x1b\[36mlocal\x1b\[0m \x1b\[33m!\x1b\[0m $/)
  assert.ok(!after!.includes('…') && !shown.text.includes('\x1b[2J'), shown.text)
})
