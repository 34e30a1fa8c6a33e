import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { botPlace } from '../../../test/support/docker/bot-place.ts'
import { baseImage, dockerFor, dockerHere } from '../../../test/support/docker/docker.ts'
import { DockerApi } from '../../../test/support/docker/docker-api.ts'
import { endOf, until } from '../../../test/support/runner/attempt-fixture.ts'
import { fromHub, token } from '../../../test/support/runner/secret-fixture.ts'
import type { HeldAttempt } from '../ports.ts'

const skip = await dockerHere()
const UP = 'trap "exit 0" TERM; echo up; while :; do sleep 0.1; done'
const fast = { interval_seconds: 5, timeout_seconds: 2, retries: 1, start_period_seconds: 0 }

const phases = ({ reports }: HeldAttempt): string[] =>
  reports.flatMap((report) =>
    report.type === 'phase' ? [[report.phase, report.reason].filter(Boolean).join(' ')] : [],
  )

async function setUp(t: TestContext) {
  const here = await botPlace(t)
  const live = ({ spec }: HeldAttempt) =>
    here.services.live.all().find((bot) => bot.attempt_id === spec.attempt_id)
  const health = (attempt: HeldAttempt) => live(attempt)?.health
  return { here, live, health, attempts: here.open() }
}

test("the check of a bot's image counts, its output is masked, and a bot may leave it out", {
  skip,
}, async (t) => {
  const { here, health, attempts } = await setUp(t)
  const docker = dockerFor(t)
  const container = await docker.engine.createContainer({
    Image: await baseImage('busybox:latest'),
    Labels: docker.labels,
  })
  const image = `errand.test/${docker.name('checked')}`
  const check = 'HEALTHCHECK --interval=1ms --retries=1 CMD echo "I am well, and $TOKEN"'
  await container.commit({ repo: image, tag: 'v1', changes: check })
  const source = { mode: 'image', image: `${image}:v1` }
  const secret = { secrets: { TOKEN: fromHub('TOKEN') } }
  const well = await attempts.start(here.bot(UP, { source }, secret), 1, { TOKEN: token })
  const without = await attempts.start(here.bot(UP, { source, health: 'none' }), 1)
  await until(() => health(well)?.state === 'starting')
  await until(() => health(well)?.state === 'healthy')
  assert.equal(health(well)!.output, 'I am well, and ***')
  assert.ok(Date.parse(health(well)!.checked_at!) > 0)
  await until(() => phases(without).includes('running'))
  assert.equal(health(without), undefined)
  const [id] = await here.containers()
  const { Config } = await new DockerApi().getContainer(id!).inspect()
  if (Config.Healthcheck?.Test?.[0] !== 'NONE') assert.equal(Config.Healthcheck?.Interval, 5e9)
  for (const attempt of [well, without]) attempt.cancel(1_000, 'canceled')
  await Promise.all([well, without].map(endOf))
  assert.deepEqual(here.services.live.all(), [])
  await attempts.close()
})

test('an unhealthy bot restarts by its policy as after a failure, and is only shown as such without one', {
  skip,
}, async (t) => {
  const { here, health, attempts } = await setUp(t)
  const check = { ...fast, cmd: 'echo "no answer at all"; exit 1' }
  const restart = { policy: 'on-failure', max_restarts: 1 }
  const restarted = await attempts.start(here.bot(UP, { health: check, restart }), 1)
  const always = await attempts.start(
    here.bot(UP, { health: { ...check, cmd: ['/bin/false'] }, restart: { policy: 'always' } }),
    1,
  )
  const shown = await attempts.start(here.bot(UP, { health: check }), 1)
  await until(() => health(shown)?.state === 'unhealthy')
  assert.equal(health(shown)!.output, 'no answer at all')
  const end = await endOf(restarted)
  assert.deepEqual([end.outcome, end.reason], ['failed', 'action_failed'])
  assert.match(end.message!, /^Unhealthy: no answer at all\. It was restarted once before\./)
  assert.deepEqual(phases(restarted), ['running', 'restarting unhealthy', 'running'])
  await until(() => phases(always).filter((phase) => phase === 'restarting unhealthy').length >= 2)
  assert.deepEqual(phases(shown), ['running'])
  for (const attempt of [always, shown]) attempt.cancel(1_000, 'canceled')
  for (const attempt of [always, shown]) assert.equal((await endOf(attempt)).outcome, 'canceled')
  await attempts.close()
})

test("a bot's usage is reported while it runs, across restarts of the runner, and with its end", {
  skip,
}, async (t) => {
  const { here, live, attempts } = await setUp(t)
  const script =
    'head -c 8m /dev/zero >/tmp/file; head -c 3m /dev/zero >/state/file; trap "exit 0" TERM; while :; do :; done'
  const attempt = await attempts.start(here.bot(script, { data: { path: '/state', size: '50MB' } }), 1)
  const usage = async (of: HeldAttempt) => {
    await until(() => live(of)?.usage !== undefined)
    return live(of)!.usage!
  }
  const used = await usage(attempt)
  assert.ok(used.memory_bytes! >= 8 * 1024 ** 2, JSON.stringify(used))
  assert.ok(used.cpu_ms! > 0 && used.cpus! > 0 && used.cpus! < 1.5, JSON.stringify(used))
  assert.ok(used.network_received_bytes! >= 0 && Date.parse(used.at!) > 0)
  await attempts.close()
  assert.deepEqual(here.services.live.all(), [])

  const next = here.open()
  const [again] = await next.recover()
  const more = await usage(again!)
  assert.ok(more.cpu_ms! > used.cpu_ms!)
  assert.ok(more.peak_memory_bytes! >= used.peak_memory_bytes!)
  await until(() => (live(again!)?.usage?.disk_bytes ?? 0) >= 3 * 1024 ** 2)
  again!.cancel(1_000, 'canceled')
  const end = (await endOf(again!)).usage!
  assert.ok(end.cpu_ms! >= more.cpu_ms! && end.peak_memory_bytes! >= 8 * 1024 ** 2)
  assert.match(end.held_by, /^cgroup_v[12]$/)
  await next.close()
})
