import { once } from 'node:events'
import * as z from 'zod'
import { spawnTree } from '../../../platform/child-tree.ts'
import { within } from '../../../platform/races.ts'
import { jsonOf } from '../../../platform/text.ts'
import {
  type FoundRunner,
  ProvisionError,
  type Provisioner,
  type ProvisionNeed,
  shownAnswer,
} from '../provisioner.ts'

export interface CommandProvisionerOptions {
  /** The operator's program, with its arguments. */
  command: readonly string[]
  hub: string
  env: Readonly<Record<string, string | undefined>>
  /** Milliseconds that one call may take. Default 60,000. */
  timeoutMs?: number
}

type Call = 'provision' | 'find' | 'remove'

/** Limits the size of an answer; a longer one is invalid. */
const MAX_ANSWER_BYTES = 1024 ** 2
const MAX_OUTPUT = 2_000
const LAST_WORDS_MS = 2_000
/** Text that the program wrote for people. */
const Output = z.string().transform((text) => text.slice(0, MAX_OUTPUT))

const Refused = z.object({
  error: z.object({ message: z.string().min(1).pipe(Output), permanent: z.boolean().optional() }),
})
const Done = z.object({})
const FoundRunners = z.object({
  runners: z.array(
    z.object({
      name: z.string(),
      state: z.enum(['starting', 'running', 'ended']),
      message: Output.optional(),
    }),
  ),
})

/**
 * Makes runners with the operator's own program. It is called with `provision`, `find` or `remove` after its
 * arguments and JSON on standard input, and answers with JSON. The answer `{"error": {"message", "permanent"}}` is a
 * refusal.
 */
export class CommandProvisioner implements Provisioner {
  readonly #options: CommandProvisionerOptions

  constructor(options: CommandProvisionerOptions) {
    this.#options = options
  }

  async provision(
    { name, group, env, marks, deadlineMs }: ProvisionNeed,
    signal: AbortSignal,
  ): Promise<void> {
    const deadline = new Date(deadlineMs).toISOString()
    await this.#call('provision', { name, group, env, marks, deadline }, Done, signal)
  }

  async find(signal: AbortSignal): Promise<FoundRunner[]> {
    return (await this.#call('find', {}, FoundRunners, signal)).runners
  }

  async remove(name: string, signal: AbortSignal): Promise<void> {
    await this.#call('remove', { name }, Done, signal)
  }

  async #call<T>(call: Call, question: object, Answer: z.ZodType<T>, signal: AbortSignal): Promise<T> {
    const { command, hub, env, timeoutMs = 60_000 } = this.#options
    const which = `${command.join(' ')} ${call}`
    const mark = `ERRAND_MADE_CALL=${hub}-${process.pid}-${++calls}`
    const { child, tree } = spawnTree<'stdin' | 'stdout' | 'stderr'>([...command, call], { mark, env })
    const ended = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>
    const closed = once(child, 'close')
    closed.catch(() => {})
    const stop = () => void tree.stop(0)
    const late = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])
    late.addEventListener('abort', stop)
    const output = { stdout: '', stderr: '' }
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output.stdout += text
      if (output.stdout.length > MAX_ANSWER_BYTES) stop()
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      output.stderr = (output.stderr + text).slice(-MAX_OUTPUT)
    })
    // The program may end without reading.
    child.stdin.on('error', () => {})
    child.stdin.end(`${JSON.stringify({ ...question, hub })}\n`)
    try {
      const [code, killed] = await ended
      // What it left in the background must not keep running.
      await tree.sweep()
      // A process that has left its session may hold the pipes open forever. By now they contain all output from
      // before the end.
      await within(LAST_WORDS_MS, closed, () => undefined)
      if (signal.aborted) throw new ProvisionError(`${which} was stopped because the hub is stopping.`)
      if (late.aborted)
        throw new ProvisionError(`${which} did not end within ${timeoutMs / 1000} s.`, {
          hint: 'It was killed.',
        })
      if (output.stdout.length > MAX_ANSWER_BYTES)
        throw new ProvisionError(`${which} printed more than ${MAX_ANSWER_BYTES} bytes.`, {
          hint: 'Print only the answer to standard output, and everything else to standard error.',
        })
      const answer = jsonOf(output.stdout)
      const refused = Refused.safeParse(answer)
      if (refused.success) {
        const { message, permanent } = refused.data.error
        throw new ProvisionError(message, { permanent })
      }
      if (code !== 0)
        throw new ProvisionError(
          `${which} ended with ${killed ?? `exit code ${code}`}${output.stderr.trim() === '' ? '.' : `: ${output.stderr.trim()}`}`,
        )
      const right = Answer.safeParse(answer)
      if (right.success) return right.data
      throw new ProvisionError(`${which} printed an invalid answer: ${shownAnswer(output.stdout)}.`, {
        hint: `It must answer with JSON: ${call === 'find' ? '{"runners": [{"name": "…", "state": "running"}]}' : '{}'}, and print everything else to standard error.`,
      })
    } catch (error) {
      if (error instanceof ProvisionError) throw error
      throw new ProvisionError(`${command[0]} could not be started: ${(error as Error).message}.`, {
        permanent: true,
        cause: error,
      })
    } finally {
      late.removeEventListener('abort', stop)
      child.stdout.destroy()
      child.stderr.destroy()
    }
  }
}

let calls = 0
