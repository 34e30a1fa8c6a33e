import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer } from 'node:net'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { eventually } from '../support/errand-command.ts'
import { type Programs, startPrograms } from '../support/programs.ts'

/**
 * Starts a server in front of the hub. It does not pass the first matching request on: it calls `onFirst` and then
 * breaks the connection.
 */
async function breakingServer(
  t: TestContext,
  request: RegExp,
  onFirst: (programs: Programs) => Promise<void>,
) {
  const seen = { asked: 0, programs: undefined as Programs | undefined }
  const server = createServer((near) => {
    const far = connect(Number(new URL(seen.programs!.url).port), '127.0.0.1')
    near.on('data', (piece) => {
      if (!request.test(piece.toString('latin1'))) return void far.write(piece)
      if (++seen.asked === 1) void onFirst(seen.programs!).then(() => near.destroy())
      else far.write(piece)
    })
    far.on('data', (piece) => near.write(piece))
    far.on('error', () => {}).on('close', () => near.destroy())
    near.on('error', () => {}).on('close', () => far.destroy())
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  return { seen, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

const step = (name: string, script: string, more: object) => ({
  ...{ name, action: 'shell.run', args: { script } },
  ...more,
})

test('a hub that restarts while an attempt requests a file from it fails nothing', async (t) => {
  const { seen, url } = await breakingServer(t, /^GET \/api\/runner-artifacts\//, async ({ hub }) => {
    hub.child.kill('SIGTERM')
    await hub.finished
  })
  const programs = await startPrograms(t, { runner: 'none' })
  seen.programs = programs
  const runner = programs.errand.start(['runner', '--id', 'apart', '--workspace', programs.runnerFolder], {
    env: {
      ERRAND_HUB_URL: url,
      ERRAND_TOKEN: readFileSync(join(programs.data, 'runner-token'), 'utf8').trim(),
    },
  })
  await runner.until('Connected to the hub')
  const steps = [
    step('build', 'echo made > made.txt', { artifacts: ['made.txt'] }),
    step('ship', 'cat there.txt', { needs_files: [{ step: 'build', name: 'made.txt', to: 'there.txt' }] }),
  ]
  await programs.client.runs.create({ run_id: 'ships', workflow: { version: 'v0.1', name: 'ships', steps } })
  await eventually('a question that nobody answers', () => seen.asked > 2)
  await programs.startHub()
  const run = await programs.ended('ships')
  assert.equal(run.status, 'success', JSON.stringify(run))
  const logs = await programs.call('runs', 'logs', 'ships')
  assert.match(logs.stdout, /made/)
  const logged: string[] = []
  for await (const event of programs.client.events('ships'))
    if (event.type === 'attempt.phase' && event.phase === 'needs_files') logged.push(event.message!)
  assert.equal(logged.length, 1)
  assert.match(
    logged[0]!,
    /^The artifact 1\.1 of ships could not be fetched from the hub: it does not answer/,
  )
})
