import { type Context, createContext, Script } from 'node:vm'

/** For what it guards nothing else of the process goes on. */
const MOST_MS = 500

/** Runs synchronous work with patterns of a stranger's making, of which some would never end. */
export class TimeGuard {
  #work: () => void = () => {}
  readonly #script = new Script('work()')
  readonly #context: Context = createContext({ work: () => this.#work() })

  /** Throws what the work throws, and an Error of its own where that takes too long. */
  run<T>(work: () => T): T {
    let result: T | undefined
    this.#work = () => {
      result = work()
    }
    try {
      this.#script.runInContext(this.#context, { timeout: MOST_MS })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error
      throw new Error('the pattern takes too long: use a simpler one')
    }
    return result as T
  }
}
