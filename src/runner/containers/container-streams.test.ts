import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { until } from '../../../test/support/runner/attempt-fixture.ts'
import type { StreamMessage } from './container-streams.ts'

/** Program in its own process, whose streams are examined. */
const PROGRAM = `
import { ContainerStreams } from ${JSON.stringify(new URL('container-streams.ts', import.meta.url).href)}
const streams = new ContainerStreams(process.argv[1])
await streams.make()
streams.open((said) => process.send(said))
process.send('open')
`

/** Returns the reports of a script with these pipes, and its output. */
async function messagesOf(
  t: TestContext,
  script: string,
): Promise<{ heard: StreamMessage[]; printed: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'errand-streams-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const args = ['--input-type=module', '-e', PROGRAM, folder]
  const streams = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] })
  t.after(() => streams.kill('SIGKILL'))
  const messages: StreamMessage[] = []
  await once(streams, 'message')
  streams.on('message', (message) => messages.push(message as StreamMessage))
  const child = spawn('/bin/sh', ['-c', script], { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => child.kill('SIGKILL'))
  const printed = await text(child.stdout)
  await until(() => messages.some(({ type }) => type === 'gone' || type === 'garbled'))
  return { heard: messages, printed }
}

test('a script may start once nobody else can open its pipes', async (t) => {
  const { heard, printed } = await messagesOf(
    t,
    'exec 8>said 9<go; echo began >&8; read -r go <&9; stat -c %a said go; echo done 3 >&8',
  )
  assert.equal(printed, '0\n0\n')
  assert.deepEqual(heard, [{ type: 'began' }, { type: 'done', code: 3 }, { type: 'gone' }])
})

test('data with which an image floods the pipe of its script is discarded', async (t) => {
  const { heard, printed } = await messagesOf(t, 'trap : PIPE; cat /dev/zero >said; echo "ended by $?"')
  assert.equal(heard[0]?.type, 'garbled')
  assert.equal(printed, `ended by ${128 + 13}\n`)
})
