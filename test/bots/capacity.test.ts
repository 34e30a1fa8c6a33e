import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { botsHere, startBotHub } from '../support/bot-hub.ts'
import { eventually } from '../support/errand-command.ts'

const skip = await botsHere()

test('twenty small bots run on two cores beside workflows that have all slots and most of the weight', {
  skip,
}, async (t) => {
  const hub = await startBotHub(t, {
    slots: 8,
    hubEnv: { ERRAND_MAX_BOTS: '30' },
    runnerEnv: { ERRAND_CPUS: '2', ERRAND_MEMORY: '2GB', ERRAND_BOT_MAX_PROCESSES: '200' },
  })
  const ids = Array.from({ length: 20 }, (_, n) => `bot-${n}`)
  const limits = { memory: '16MB' }
  for (const id of ids) await hub.startShell(id, 'exec sleep 1000000', { limits })
  for (const id of ids) await hub.until(id, 'running')

  const at = join(hub.home, 'at')
  mkdirSync(at)
  const cmd = `touch "${at}/$$"; while [ ! -e "${hub.home}/go" ]; do sleep 0.1; done`
  const yaml = (name: string, more: string) =>
    `version: v0.1\nname: ${name}\nsteps:\n  - name: meet\n    action: cmd.run\n    args: {cmd: '${cmd}'}\n${more}`
  const runs = [
    await hub.client.runs.create({ yaml: yaml('large', '    resources: {cpus: 2}\n') }),
    ...(await Promise.all(
      Array.from({ length: 7 }, (_, n) => hub.client.runs.create({ yaml: yaml(`small-${n}`, '') })),
    )),
  ]
  await eventually('eight steps at once', () => readdirSync(at).length === 8)

  await hub.kill('hub')
  await hub.startHub()
  const shown = await eventually('the runner at the next hub', async () => {
    const found = await hub.call('runners', 'show', 'apart')
    return /^status +connected$/m.test(found.stdout) && found
  })
  assert.match(shown.stdout, /^busy +8 of 8 slots$/m)
  assert.match(shown.stdout, /^bots +20, with 320MB of memory reserved for them$/m)
  assert.match((await hub.call('runners', 'list')).stdout, / 8\/8 +20 \(320MB\)/)
  assert.match((await hub.call('bot', 'list')).stdout, /^bot-0 +running .* 16MB /m)
  const weights = (await hub.containers()).map(async ({ Id }) => {
    const { HostConfig } = await hub.engine.getContainer(Id).inspect()
    return [HostConfig.CpuShares, HostConfig.NanoCpus, HostConfig.Memory]
  })
  assert.deepEqual(
    await Promise.all(weights),
    ids.map(() => [51, 0.5e9, 16 * 1024 ** 2]),
  )

  const many = await hub.call('bot', 'start', 'many', '--image', hub.images.busybox, '--processes', '201')
  assert.equal(many.code, 2)
  assert.match(many.stderr, /limits\.processes is 201; .* at most 200 .*\n.*ERRAND_BOT_MAX_PROCESSES/)
  const huge = ['bot', 'start', 'huge', '--image', hub.images.busybox, '--memory']
  const refused = await hub.call(...huge, '999GB')
  assert.equal(refused.code, 2)
  assert.match(refused.stderr, /limits\.memory is 999GB; a bot may have at most 2 GB here/)
  assert.equal((await hub.call(...huge, '1.9GB', '--detach')).code, 0)
  const { message } = await hub.until('huge', 'start')
  assert.match(message!, /^runner "apart" .* has less than 1\.9 GB free \(1\.6 GB\)$/)
  assert.equal((await hub.call('bot', 'stop', 'huge')).code, 0)

  writeFileSync(join(hub.home, 'go'), '')
  for (const { run_id } of runs) assert.equal((await hub.ended(run_id)).status, 'success')
  const draining = hub.errand.start(['runners', 'drain', 'apart', '--wait'], { env: hub.env })
  await draining.until('takes no new work')
  const [last, ...others] = ids
  for (const id of others) await hub.client.bots.stop(id)
  for (const id of others) await hub.until(id, 'stopped')
  assert.equal(draining.child.exitCode, null, 'draining waits while a bot is left')
  await hub.client.bots.stop(last!)
  assert.match((await draining.finished).stdout, /apart has no work left/)
})
