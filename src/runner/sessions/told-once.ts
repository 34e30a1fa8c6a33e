import { writeSync } from 'node:fs'
import type { TailFile } from '../../platform/tail-file.ts'
import type { JournaledReports } from '../attempts/journaled-reports.ts'
import { UpdateJoiner } from './update-joiner.ts'
import type { Told } from './update-teller.ts'

export interface ToldOnceOptions {
  journal: JournaledReports
  stdout: TailFile
  /** No message: it is the journal. */
  onUnkept(message?: string): void
}

/** What a session tells, and its text, once: what an earlier process of this runner has told is counted and left out. */
export class ToldOnce {
  readonly #options: ToldOnceOptions
  readonly #joiner: UpdateJoiner
  /** Of the standard output, what an earlier process of this runner has written. */
  readonly #saidBefore: number
  #said = 0
  #told = 0

  constructor(options: ToldOnceOptions) {
    this.#options = options
    this.#saidBefore = options.stdout.size
    this.#joiner = new UpdateJoiner((item, last) => this.#report(item, last))
  }

  tell(item: Told): void {
    const number = ++this.#told
    if (number > this.#options.journal.covered) this.#joiner.add(item, number)
  }

  say(text: string): void {
    const bytes = Buffer.from(text)
    const known = Math.max(0, Math.min(bytes.length, this.#saidBefore - this.#said))
    this.#said += bytes.length
    const { stdout, onUnkept } = this.#options
    try {
      for (let at = known; at < bytes.length; ) at += writeSync(stdout.fd, bytes, at)
    } catch (error) {
      onUnkept(`Its output could not be kept: ${(error as Error).message}.`)
    }
  }

  /** Nothing is held back any more. */
  flush(): void {
    this.#joiner.flush()
  }

  #report(item: Told, last: number): void {
    const { journal, onUnkept } = this.#options
    if (!journal.add(item, item, last)) onUnkept()
  }
}
