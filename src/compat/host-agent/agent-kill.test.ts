import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { cmdSpec, folder, httpHost, KeepingSink, until } from '../../../test/support/compat/hosts-fixture.ts'

const main = join(import.meta.dirname, '../../cli/main.ts')

/** Starts `errand agent-server` as its own process; resolves with its port once it listens. */
async function agentServer(
  t: TestContext,
  port: number,
  data: string,
): Promise<{ port: number; process: ChildProcess }> {
  const args = [main, 'agent-server', '--addr', `:${port}`, '--token', 'T', '--data', data]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGTERM')
    await once(child, 'exit')
  })
  let output = ''
  child.stdout.on('data', (bytes) => {
    output += bytes
  })
  await until(() => /:\d+\b.*\n/.test(output), 'the agent server to listen')
  return { port: Number(/127\.0\.0\.1:(\d+)/.exec(output)![1]), process: child }
}

test('after kill -9 of an agent in the middle of a task each line arrives once, in order, and the task ran once', async (t) => {
  const data = await folder(t)
  const first = await agentServer(t, 0, data)
  const sink = new KeepingSink()
  const runs = join(data, 'runs')
  const lines = 'for i in $(seq 1 400); do echo "line $i"; sleep 0.005; done'
  const spec = cmdSpec(`http://127.0.0.1:${first.port}`, `echo run >> ${runs}; ${lines}; cat ${runs} >&2`)
  httpHost(t).start(spec, { epoch: 1 }, sink)
  await until(() => sink.text('stdout').includes('line 50\n'), 'line 50')
  first.process.kill('SIGKILL')
  await once(first.process, 'exit')
  await agentServer(t, first.port, data)
  const end = await sink.ended
  assert.equal(end.outcome, 'success', end.message)
  assert.equal(sink.text('stdout'), Array.from({ length: 400 }, (_, i) => `line ${i + 1}\n`).join(''))
  assert.equal(sink.text('stderr'), 'run\n')
})
