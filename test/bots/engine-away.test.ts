import assert from 'node:assert/strict'
import test from 'node:test'
import type { BotView } from '../../src/contract/bots/bot-api.ts'
import { botsHere } from '../support/bot-hub.ts'
import { baseImage } from '../support/docker/docker.ts'
import { OwnEngine, ownEngineHere } from '../support/docker/own-engine.ts'
import { eventually } from '../support/errand-command.ts'
import { startPrograms } from '../support/programs.ts'

const skip = (await botsHere()) || (await ownEngineHere())

test('bots return with their engine, whatever happens to hub and runner, and their status is correct', {
  skip,
}, async (t) => {
  const engine = await OwnEngine.start(t)
  const image = await baseImage('busybox:latest')
  await engine.take(image)
  const hub = await startPrograms(t, {
    runnerEnv: {
      DOCKER_HOST: engine.address,
      ERRAND_BOT_NETWORK_GUARD: 'external',
      ERRAND_LOCAL_IMAGES: image,
    },
  })
  const { bots } = hub.client
  const script = 'echo "begun, $TOKEN"; trap "exit 0" TERM; while :; do sleep 0.1; done'
  const command = ['sh', '-c', script]
  const env_vars = { TOKEN: 'a-token-of-a-bot' }
  const { run_id } = await bots.start({ bot_id: 'echo', docker_image: image, command, env_vars })
  const is = (what: string, holds: (bot: BotView) => unknown): Promise<BotView> =>
    eventually(what, async () => {
      const bot = await bots.get('echo').catch(() => undefined)
      return bot !== undefined && holds(bot) ? bot : undefined
    })
  const up = await is('it runs, and what it uses', ({ state, usage }) => state === 'running' && usage)
  assert.ok(up.usage!.memory_bytes! > 0 && up.usage!.cpus! >= 0)
  const status = async () => (await hub.call('bot', 'status', 'echo')).stdout
  assert.match(await status(), /^memory +[\d.]+ (bytes|KB|MB), at most [\d.]+ /m)

  let lives = 1
  for (const killed of [[], ['runner'], ['hub', 'runner']] as const) {
    await hub.kill(...killed)
    await engine.stop()
    for (const name of killed) await (name === 'hub' ? hub.startHub() : hub.startRunner())
    const away = await is('its engine is away', (bot) => bot.engine_away_since)
    assert.match(away.message!, /^Its container engine has not answered since 20/)
    assert.equal(away.run_id, run_id)
    assert.match(await status(), /^message +Its container engine has not answered since /m)
    await engine.begin()
    lives++
    await eventually(`life ${lives} in its log`, async () => {
      const { lines } = await bots.logs('echo')
      return lines.filter(({ text }) => text === 'begun, ***').length === lives
    })
    const isBack = (bot: BotView) => bot.state === 'running' && !bot.engine_away_since && bot.usage
    const back = await is('it is back', isBack)
    assert.deepEqual([back.run_id, back.restarts], [run_id, 0])
  }
  await bots.stop('echo')
  const stopped = await is('it is stopped', ({ state }) => state === 'stopped')
  assert.ok(stopped.usage!.cpu_ms! >= 0 && stopped.usage!.peak_memory_bytes! > 0)
  const reasons: (string | undefined)[] = []
  for await (const event of hub.client.events(run_id))
    if (event.type === 'attempt.phase' && event.phase === 'restarting') reasons.push(event.reason)
  assert.deepEqual(reasons, ['engine_restarted', 'engine_restarted', 'engine_restarted'])
})
