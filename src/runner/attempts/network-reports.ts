import type { NetworkReport } from '../../contract/attempt.ts'
import type { Masker } from '../masking/masker.ts'
import type { LogEntry } from '../proxy/rules.ts'
import type { Box } from '../sandbox/box.ts'
import type { AttemptJournal } from './journal.ts'

/** Describes the endpoint of a box as its attempt reads it. */
export interface ReadEndpoint extends Pick<Box, 'logSince' | 'close'> {
  /** Resolves when all of it is read; absent if others read it too. */
  spent?(): Promise<void>
}

/**
 * Reports the hosts that the box of an attempt was refused or has used, each once, even across restarts: it reads the
 * endpoint's log from the start, and skips as many entries as the journal holds.
 */
export class NetworkReports {
  readonly #journal: AttemptJournal
  readonly #endpoint: ReadEndpoint
  readonly #masker: Masker | undefined
  #offset = 0
  #known: number

  constructor(journal: AttemptJournal, endpoint: ReadEndpoint, masker: Masker | undefined) {
    this.#journal = journal
    this.#endpoint = endpoint
    this.#masker = masker
    this.#known = journal.list.filter(({ type }) => type === 'network').length
  }

  look(): void {
    const { lines, offset } = this.#endpoint.logSince(this.#offset)
    this.#offset = offset
    for (const line of lines) {
      const report = this.#reported(line)
      if (report === undefined) continue
      if (this.#known > 0) this.#known--
      else this.#journal.add(report)
    }
  }

  /** Closes the endpoint once nothing runs in the box, and reports what was used until then. */
  async close(): Promise<void> {
    // A proxy that does not answer must not hold up the end of an attempt.
    await this.#endpoint.close().catch(() => undefined)
    this.look()
    await this.#endpoint.spent?.().catch(() => undefined)
  }

  #reported(line: LogEntry): NetworkReport | undefined {
    if (line.type !== 'refused' && line.type !== 'used') return undefined
    const { type: kind, ...rest } = line
    // A box may send any text it knows as a host name.
    const host = this.#masker?.maskText(rest.host) ?? rest.host
    return { type: 'network', kind, ...rest, host }
  }
}
