import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { BotHealth } from '../../contract/bots/bot.ts'
import type { ContainerHealth, ContainerState } from '../docker/docker-engine.ts'
import { createMasker } from '../masking/masker.ts'
import { BotMeter } from './bot-meter.ts'
import { ContainerWatch, LiveBots } from './container-watch.ts'
import type { DockerPresence, PresenceListener } from './docker-presence.ts'

const SECRET = 'a-secret-of-this-bot-which-is-long-enough'
const startedAt = '2026-01-01T00:00:00Z'

/** Returns the displayed health once the engine has reported this one. */
async function shown(health: ContainerHealth): Promise<BotHealth> {
  let notify: PresenceListener = () => {}
  const onChange = (listener: PresenceListener) => {
    notify = listener
    return () => {}
  }
  const presence = { onChange }
  const masker = createMasker([SECRET])
  const live = new LiveBots()
  const news = Promise.withResolvers<BotHealth>()
  live.onNews(([bot]) => bot?.health?.state === health.state && news.resolve(bot.health))
  let state: ContainerState = { type: 'running', pid: 1, startedAt }
  const watch = new ContainerWatch({
    engine: { state: async () => state, use: async () => undefined },
    presence: presence as unknown as DockerPresence,
    live,
    meter: new BotMeter(undefined),
    attemptId: 'run_1.1',
    id: 'c',
    startedAt,
    mask: (text, isCut) => (isCut ? masker.maskBeginning(text) : masker.maskText(text)),
    onUnhealthy: () => {},
    onMeasured: () => {},
  })
  state = { ...state, health }
  notify({ id: 'c', type: 'health', atMs: 0 })
  const reported = await news.promise
  watch.close()
  live.close()
  return reported
}

test("a check's output is masked whole, and the start of a secret that the engine cut is hidden too", async () => {
  const plain = await shown({ state: 'healthy', output: `ok ${SECRET}\n` })
  assert.equal(plain.output, 'ok ***')
  // Masking shortens it so much that the cut end becomes visible.
  const many = `${SECRET} `.repeat(200)
  const cut = await shown({ state: 'unhealthy', output: `${many.slice(0, 4096)}...` })
  assert.match(cut.output!, /^(\*\*\* )+(\*\*\*)?$/)
  const long = await shown({ state: 'healthy', output: 'x'.repeat(4000) })
  assert.equal(long.output!.length, 2048)
})
