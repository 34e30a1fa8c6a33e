import assert from 'node:assert/strict'
import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { ErrandClient } from '../../src/client/client.ts'
import { eventually } from '../support/errand-command.ts'
import { startPrograms, workflowText } from '../support/programs.ts'
import { outputHash, sha256, wholeLog } from '../support/programs-output.ts'

const MB = 1024 ** 2
/** Numbers its lines, so that stored lines differ from later ones. It never ends by itself. */
const endless = 'seq 1 1000000000000'
/** Returns the first bytes of its output. */
function begun(bytes: number): string {
  let text = ''
  for (let line = 1; text.length < bytes; line++) text += `${line}\n`
  return text.slice(0, bytes)
}

function diskBytes(folder: string): number {
  if (!existsSync(folder)) return 0
  return readdirSync(folder).reduce((sum, name) => sum + statSync(join(folder, name)).size, 0)
}

test('endless output ends at the limit of its run or user, also across a restart; other users continue', async (t) => {
  const hubEnv = { ERRAND_MAX_OUTPUT_RUN: '3MB', ERRAND_MAX_OUTPUT_USER: '5MB' }
  const programs = await startPrograms(t, { hubEnv })
  const { client, url, data } = programs
  await client.users.create({ name: 'other', password: 'long enough' })
  const other = new ErrandClient({ url, token: (await client.auth.login('other', 'long enough')).token })
  const go = join(programs.home, 'go')
  const waits = { name: 'waits', cmd: `echo before; until [ -e ${go} ]; do sleep 0.05; done; echo after` }
  await other.runs.create({ run_id: 'others', yaml: workflowText([waits]) })

  // This step ignores the request to end until the hub was killed and is back.
  const stubborn = `trap '' TERM; ${endless} | head -c 20000000; while :; do sleep 0.1; done`
  await client.runs.create({ run_id: 'first', yaml: workflowText([{ name: 'endless', cmd: stubborn }]) })
  await eventually('the limit', async () => diskBytes(join(data, 'output', 'first')) === 3 * MB)
  await programs.kill('hub')
  await programs.startHub()
  const first = await programs.ended('first')
  assert.deepEqual([first.status, first.reason], ['failed', 'output_limit'], JSON.stringify(first))
  assert.equal(diskBytes(join(data, 'output', 'first')), 3 * MB)
  assert.deepEqual(await outputHash(client, 'first', 1), { length: 3 * MB, sha256: sha256(begun(3 * MB)) })
  await wholeLog(client, 'first')

  const shown = await programs.call('runs', 'show', 'first')
  assert.match(shown.stdout, /output limit/)
  assert.match(shown.stdout, /exceeded the output limit of 3 MB .*ERRAND_MAX_OUTPUT_RUN/)
  const logs = await programs.call('runs', 'logs', 'first', '--attempt', '1')
  assert.equal(sha256(logs.stdout), sha256(begun(3 * MB)))

  await client.runs.create({ run_id: 'second', yaml: workflowText([{ name: 'endless', cmd: endless }]) })
  const second = await programs.ended('second')
  assert.match(second.steps[0]!.message!, /output limit of 5 MB .*ERRAND_MAX_OUTPUT_USER/)
  assert.equal(diskBytes(join(data, 'output', 'second')), 2 * MB)
  const small = workflowText([{ name: 'small', cmd: 'echo hi' }])
  await assert.rejects(client.runs.create({ run_id: 'third', yaml: small }), { code: 'quota_exceeded' })
  await client.runs.delete('first')
  await client.runs.create({ run_id: 'third', yaml: small })
  assert.equal((await programs.ended('third')).status, 'success')

  const { status } = await other.runs.get('others')
  assert.equal(status, 'running')
  writeFileSync(go, '')
  assert.equal((await programs.ended('others')).status, 'success')
  assert.equal((await outputHash(client, 'others', 1)).sha256, sha256('before\nafter\n'))
})
