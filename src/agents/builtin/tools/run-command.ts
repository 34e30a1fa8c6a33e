import type { ChildProcess } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { stat } from 'node:fs/promises'
import * as z from 'zod'
import { spawnTree } from '../../../platform/child-tree.ts'
import { within } from '../../../platform/races.ts'
import { defineTool, OUTPUT_BYTES, ToolError } from './tool.ts'

const GRACE_MS = 2000
const PIPES_MS = 2000
const HEAD_BYTES = OUTPUT_BYTES / 4

const Args = z.object({
  command: z.string().min(1).describe('For /bin/sh'),
  cwd: z.string().min(1).default('.').describe('Folder to run it in'),
  timeout_seconds: z.number().positive().max(3600).default(120),
})

export const runCommand = defineTool({
  name: 'run_command',
  kind: 'execute',
  description:
    'Runs a shell command to its end, without input, and answers its exit code and output. What it leaves running is ended with it.',
  args: Args,
  title: ({ command }) => `Run ${command}`,
  paths: ({ cwd }) => [cwd],
  async run({ command, cwd, timeout_seconds }, { paths, env, signal }) {
    if (!(await stat(paths[0]!)).isDirectory()) throw new ToolError(`${cwd} is no folder.`)
    signal.throwIfAborted()
    const { ending, output } = await carriedOut(command, paths[0]!, env, signal, timeout_seconds * 1000)
    return { output: `${ending}\n${output}`, failed: ending !== 'exit code 0' }
  },
})

/**
 * The command's shell, and beside it one that waits for this process to go (its end of the fourth pipe closes) and
 * then ends the group, itself included: a killed runner leaves nothing running. One pipe for output and errors keeps
 * them in their order.
 */
const SHELL = '(read _ <&3; kill -s KILL -- -$$) </dev/null >/dev/null 2>&1 & exec /bin/sh -c "$1" 2>&1 3<&-'

async function carriedOut(
  command: string,
  cwd: string,
  env: Readonly<Record<string, string>>,
  signal: AbortSignal,
  timeoutMs: number,
): Promise<{ ending: string; output: string }> {
  const { child, tree } = spawnTree(['/bin/sh', '-c', SHELL, 'sh', command], {
    cwd,
    env,
    mark: `ERRAND_TOOL_MARK=${randomUUID()}`,
    stdio: ['ignore', 'pipe', 'ignore', 'pipe'],
  })
  const output = new OutputEnds(HEAD_BYTES, OUTPUT_BYTES - HEAD_BYTES)
  child.stdout?.on('data', (chunk: Buffer) => output.push(chunk))
  const closed = once(child, 'close').catch(() => undefined)
  const cut = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])
  const ending = await exited(child, cut)
  // Also what it left behind: it would hold the pipes open.
  const gone = await tree.stop(GRACE_MS)
  // What got away with another environment may hold them for ever.
  await within(PIPES_MS, closed, () => undefined)
  for (const stream of child.stdio) stream?.destroy()
  signal.throwIfAborted()
  const late = ending ?? `ended after ${timeoutMs / 1000} s: it took too long`
  return { ending: gone ? late : `${late}; a process of it cannot be ended`, output: output.text() }
}

/** How it ended by itself; undefined: `cut` came first. Throws where it could not be started. */
async function exited(child: ChildProcess, cut: AbortSignal): Promise<string | undefined> {
  try {
    const [code, name] = await once(child, 'exit', { signal: cut })
    return name === null ? `exit code ${code}` : `ended by ${name}`
  } catch (error) {
    if (cut.aborted) return undefined
    throw error
  }
}

/** Variables of the machine that a shell needs. */
const machine = ['PATH', 'HOME', 'USER', 'LANG', 'TZ', 'TMPDIR', 'SHELL'] as const

/** Keys of models' services, and of Errand itself: no command has a use for them. */
const keys =
  /^(OPENAI_API_KEY|OPENAI_ADMIN_KEY|ANTHROPIC_API_KEY|ANTHROPIC_AUTH_TOKEN|CLAUDE_CODE_OAUTH_TOKEN|CODEX_API_KEY|COPILOT_PROVIDER_API_KEY|COPILOT_GITHUB_TOKEN|ERRAND_TOKEN|ADOS_TOKEN)$/

/** The environment of the commands that the model runs. `step` is what the step sees. */
export function commandEnvironment(
  base: NodeJS.ProcessEnv,
  step: Readonly<Record<string, string>>,
): Record<string, string> {
  const own = Object.entries(step).filter(([name]) => !keys.test(name))
  const passed = machine.flatMap((name) => {
    const value = base[name]
    return value === undefined ? [] : [[name, value]]
  })
  // There is nobody to page through output or to type a password.
  return {
    PAGER: 'cat',
    GIT_PAGER: 'cat',
    GIT_TERMINAL_PROMPT: '0',
    ...Object.fromEntries([...passed, ...own]),
  }
}

/** Keeps the beginning and the end of what a command puts out, however much it is. */
export class OutputEnds {
  readonly #headBytes: number
  readonly #tailBytes: number
  readonly #head: Buffer[] = []
  #headLength = 0
  #tail: Buffer[] = []
  #tailLength = 0
  #dropped = 0

  constructor(headBytes: number, tailBytes: number) {
    this.#headBytes = headBytes
    this.#tailBytes = tailBytes
  }

  push(chunk: Buffer): void {
    const head = chunk.subarray(0, this.#headBytes - this.#headLength)
    if (head.length > 0) {
      this.#head.push(head)
      this.#headLength += head.length
    }
    const rest = chunk.subarray(head.length)
    if (rest.length === 0) return
    this.#tail.push(rest)
    this.#tailLength += rest.length
    if (this.#tailLength > this.#tailBytes * 2) this.#trim()
  }

  text(): string {
    if (this.#tailLength > this.#tailBytes) this.#trim()
    const [head, tail] = [Buffer.concat(this.#head), Buffer.concat(this.#tail)]
    // Only where something is missing between them may a character be broken.
    if (this.#dropped === 0) return Buffer.concat([head, tail]).toString()
    return `${head}\n… (${this.#dropped} bytes left out)\n${tail}`
  }

  #trim(): void {
    const tail = Buffer.concat(this.#tail)
    const kept = tail.subarray(Math.max(0, tail.length - this.#tailBytes))
    this.#dropped += tail.length - kept.length
    // A copy: a slice would hold the memory of all.
    this.#tail = [Buffer.from(kept)]
    this.#tailLength = kept.length
  }
}
