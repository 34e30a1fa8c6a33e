import { messageWithHint } from '../../contract/errors.ts'
import { endTree, spawnTree } from '../../platform/child-tree.ts'
import { unlessAborted, within } from '../../platform/races.ts'
import { withoutEscapes } from '../../platform/text.ts'
import type { RunnerStop } from '../attempts/runner-stop.ts'
import { type FatalSignal, fatalSignal } from '../attempts/verdict.ts'
import type { Masker } from '../masking/masker.ts'
import type { Launch } from '../sandbox/launch.ts'

export interface VerifierOptions {
  env: NodeJS.ProcessEnv
  /** Key of the attempt, unique on this machine. */
  attemptKey: string
  masker?: Masker
  /** Puts a command into the session's box, under its own name; absent if there is no box. */
  enclose?(launch: Launch, name: string): Launch
  /** Knows when this runner is told to stop; if absent, results are not judged by that. */
  machineStop?: RunnerStop
  onResult(result: VerifyResult): void
}

/** Runs the verify commands that a session waits for, each once and one at a time. */
export class Verifier {
  readonly #options: VerifierOptions
  #last: { number: number; stop: AbortController; ended: Promise<void> } | undefined

  constructor(options: VerifierOptions) {
    this.#options = options
  }

  /** Ends the command that an earlier process of this runner has begun. */
  async endLeft(): Promise<void> {
    await endLeftVerify(this.#options.attemptKey)
  }

  /** Runs the command unless this number has begun already. Resolves when it is over. */
  async run({ command, number }: { command: string; number: number }, cwd: string): Promise<void> {
    if (number === this.#last?.number) return await this.#last.ended
    this.stop()
    const stop = new AbortController()
    const ended = this.#run({ command, number }, cwd, stop.signal, this.#last?.ended)
    this.#last = { number, stop, ended }
    await ended
  }

  /** Stops the command. Idempotent. */
  stop(): void {
    this.#last?.stop.abort()
  }

  async #run(
    { command, number }: { command: string; number: number },
    cwd: string,
    signal: AbortSignal,
    before?: Promise<void>,
  ): Promise<void> {
    // Its leftovers are ended by the attempt's mark, which this command has too.
    await before
    if (signal.aborted) return
    const { env, attemptKey, masker, enclose, machineStop, onResult } = this.#options
    const inBox = enclose && ((launch: Launch) => enclose(launch, `verify.${number}`))
    while (!signal.aborted) {
      const ended = await runVerify(command, { cwd, env, key: attemptKey, signal, masker, inBox })
      if (!ended) return
      const { killedBy, ...result } = ended
      const isLost = killedBy !== undefined && (await machineStop?.wasNear(Date.now()))
      if (!isLost) return onResult(result)
      // A result that the stopping machine caused says nothing about the work. The command runs again: in the next
      // process, if this one ends.
      if (machineStop?.isAnnounced) return
    }
  }
}

/** Bytes of the output that go back to the agent. */
const TAIL_BYTES = 8 * 1024
/** Limit in ms, so that a hanging command does not hold the step forever. */
const LIMIT_MS = 30 * 60_000
const MARK = 'ERRAND_VERIFY_MARK'

interface VerifyResult {
  passed: boolean
  /** Text such as "exit code 1". */
  how: string
  output: string
}

interface VerifyOptions {
  cwd: string
  env: NodeJS.ProcessEnv
  /** Key of the attempt, which runs one command at a time. */
  key: string
  signal: AbortSignal
  masker?: Masker
  inBox?: (launch: Launch) => Launch
}

/** Ends what a killed runner has left of a command, which would otherwise run twice. */
const endLeftVerify = (key: string): Promise<boolean> => endTree({ mark: `${MARK}=${key}` }, 0)

/** Runs a command with /bin/sh; nothing of it is left afterwards. Returns undefined if the signal ended it. */
async function runVerify(
  command: string,
  { cwd, env, key, signal, masker, inBox }: VerifyOptions,
): Promise<(VerifyResult & { killedBy?: FatalSignal }) | undefined> {
  let begun: ReturnType<typeof begin>
  try {
    begun = begin(command, { cwd, env, mark: `${MARK}=${key}`, inBox })
  } catch (error) {
    return { passed: false, how: notStarted(error as Error), output: '' }
  }
  const { child, tree } = begun
  let tail = Buffer.alloc(0)
  const take = (chunk: Buffer) => {
    tail = Buffer.from(Buffer.concat([tail, chunk]).subarray(-TAIL_BYTES))
  }
  // Before truncation: half a secret would not be recognized.
  const masked = [child.stdout, child.stderr].map((pipe) => {
    const stream = masker?.stream()
    pipe.on('data', (chunk: Buffer) => take(stream?.push(chunk) ?? chunk))
    return stream
  })
  const ended = Promise.withResolvers<string>()
  let killedBy: FatalSignal | undefined
  child.once('error', (error) => ended.resolve(notStarted(error)))
  child.once('exit', (code, signaled) => {
    if (!signal.aborted) killedBy = fatalSignal({ code: code ?? undefined, signal: signaled ?? undefined })
    ended.resolve(signaled === null ? `exit code ${code}` : `killed by ${signaled}`)
  })
  const endedOrStopped = unlessAborted(signal, ended.promise, () => 'stopped')
  let isLate = false
  const how = await within(LIMIT_MS, endedOrStopped, () => {
    isLate = true
    return `it took longer than ${LIMIT_MS / 60_000} minutes`
  })
  // Everything written is there; a process that still holds the pipe is ended.
  await new Promise((resolve) => setImmediate(resolve))
  await tree.stop(0)
  child.stdout.destroy()
  child.stderr.destroy()
  for (const stream of masked) if (stream) take(stream.end())
  if (signal.aborted) return undefined
  // A command that was ended for its time may have any exit code.
  return { passed: how === 'exit code 0', how, output: textOf(tail), killedBy: isLate ? undefined : killedBy }
}

/**
 * Starts a command. Throws if it cannot start for some reasons: the folder is a file by now, or the command has 200 KB.
 */
function begin(
  command: string,
  { cwd, env, mark, inBox }: Pick<VerifyOptions, 'cwd' | 'env' | 'inBox'> & { mark: string },
) {
  const bare = { argv: ['/bin/sh', '-c', command], cwd, env }
  const launch = inBox?.(bare) ?? bare
  return spawnTree<'stdout' | 'stderr'>(launch.argv, { ...launch, mark, stdio: ['ignore', 'pipe', 'pipe'] })
}

const notStarted = (error: Error): string => `it could not be started: ${messageWithHint(error)}`

/** Returns the text from the first whole character, without colors. */
function textOf(tail: Buffer): string {
  let start = 0
  while (start < 3 && start < tail.length && (tail[start]! & 0xc0) === 0x80) start++
  return withoutEscapes(tail.toString('utf8', start)).trim()
}
