import type { Masker } from '../masking/masker.ts'
import { endLeftVerify, runVerify, type VerifyResult } from './verify-command.ts'

export interface VerifierOptions {
  env: NodeJS.ProcessEnv
  /** Of the attempt, among all of this machine. */
  attemptKey: string
  masker?: Masker
  onResult(result: VerifyResult): void
}

/** Runs the verify commands that a session waits for: each once, and one at a time. */
export class Verifier {
  readonly #options: VerifierOptions
  #last: { number: number; stop: AbortController; ended: Promise<void> } | undefined

  constructor(options: VerifierOptions) {
    this.#options = options
  }

  /** What an earlier process of this runner has begun. */
  async endLeft(): Promise<void> {
    await endLeftVerify(this.#options.attemptKey)
  }

  /** Not again what was begun, by its number. */
  run({ command, number }: { command: string; number: number }, cwd: string): void {
    if (number === this.#last?.number) return
    this.stop()
    const stop = new AbortController()
    this.#last = { number, stop, ended: this.#run(command, cwd, stop.signal, this.#last?.ended) }
  }

  /** May be called twice. */
  stop(): void {
    this.#last?.stop.abort()
  }

  async #run(command: string, cwd: string, signal: AbortSignal, before?: Promise<void>): Promise<void> {
    // What is left of that is ended by the attempt's mark, which this one bears as well.
    await before
    if (signal.aborted) return
    const { env, attemptKey, masker, onResult } = this.#options
    const result = await runVerify(command, { cwd, env, key: attemptKey, signal, masker })
    if (result) onResult(result)
  }
}
