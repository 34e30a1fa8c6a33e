import { type Check, ok, type Place, warning } from './check.ts'

const WITHIN_MS = 10_000
/** The hub tells its time in whole seconds, and the answer takes its time too. */
const MUCH_SECONDS = 5

export const clock: Check = {
  name: 'clock',
  async run({ hub: { url, known } }: Place) {
    if (!known) return []
    const startedMs = Date.now()
    let date: string | null
    try {
      const response = await fetch(`${url.replace(/\/+$/, '')}/health`, {
        signal: AbortSignal.timeout(WITHIN_MS),
      })
      await response.body?.cancel()
      date = response.headers.get('date')
    } catch {
      // That it cannot be reached is told by another check.
      return []
    }
    const hubMs = Date.parse(date ?? '')
    if (Number.isNaN(hubMs)) return []
    const aheadSeconds = Math.round(((startedMs + Date.now()) / 2 - hubMs) / 1000)
    if (Math.abs(aheadSeconds) <= MUCH_SECONDS) return [ok('The clock agrees with that of the hub.')]
    const how = aheadSeconds > 0 ? 'ahead of' : 'behind'
    return [
      warning(
        `The clock is ${Math.abs(aheadSeconds)} s ${how} that of the hub.`,
        'Let both be set by NTP (timedatectl set-ntp true): times shown and tokens that expire depend on it.',
      ),
    ]
  },
}
