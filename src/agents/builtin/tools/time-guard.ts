import { type Context, createContext, Script } from 'node:vm'
import { ToolError } from './tool.ts'

/** For what it guards nothing else of the process goes on. */
const MOST_MS = 500

const script = new Script('work()')

/** Runs synchronous work with patterns of the model's making, of which some would never end. */
export class TimeGuard {
  #work: () => void = () => {}
  readonly #context: Context = createContext({ work: () => this.#work() })

  run<T>(work: () => T): T {
    let result: T | undefined
    this.#work = () => {
      result = work()
    }
    try {
      script.runInContext(this.#context, { timeout: MOST_MS })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error
      throw new ToolError('The pattern takes too long. Use a simpler one.')
    }
    return result as T
  }
}
