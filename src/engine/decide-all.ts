import type { NewEvent } from '../contract/events.ts'
import { decide, type Facts } from './decide.ts'
import type { Intent } from './intents.ts'
import { type Recorded, type RecordFacts, record } from './record.ts'

/** An intent, and what it came to; its events are folded. */
export interface Decided {
  intent: Intent
  recorded: Recorded
}

/**
 * Decides until nothing more follows, and answers all of it, with the next moment that is waited for. Each event is
 * folded at once, and `recording` asked anew for each intent: what comes of one may hang on those before.
 */
export function decideAll(
  facts: Facts,
  recording: () => RecordFacts,
  fold: (event: NewEvent) => void,
): { decided: Decided[]; wakeAtMs: number | undefined } {
  const decided: Decided[] = []
  for (;;) {
    let more = false
    // Each round names all that is still waited for.
    let wakeAtMs: number | undefined
    for (const intent of decide(facts)) {
      if (intent.type === 'wake') wakeAtMs = Math.min(wakeAtMs ?? intent.at_ms, intent.at_ms)
      const recorded = record(intent, recording())
      for (const event of recorded.events) fold(event)
      more ||= recorded.events.length > 0
      decided.push({ intent, recorded })
    }
    if (!more) return { decided, wakeAtMs }
  }
}
