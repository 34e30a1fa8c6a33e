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
    'Runs a shell command to its end, without input, and returns its exit code and output. Processes that it leaves running are ended.',
  args: Args,
  title: ({ command }) => `Run ${command}`,
  paths: ({ cwd }) => [cwd],
  async run({ command, cwd, timeout_seconds }, { paths, env, signal }) {
    if (!(await stat(paths[0]!)).isDirectory()) throw new ToolError(`${cwd} is not a folder.`)
    signal.throwIfAborted()
    const { ending, output } = await execute(command, paths[0]!, env, signal, timeout_seconds * 1000)
    return { output: `${ending}\n${output}`, failed: ending !== 'exit code 0' }
  },
})

/**
 * Runs the command's shell, and next to it one that waits for the end of this process (its end of the fourth pipe
 * closes) and then kills the group, including itself, so that a killed runner leaves nothing running. One pipe for
 * stdout and stderr keeps their order.
 */
const SHELL = '(read _ <&3; kill -s KILL -- -$$) </dev/null >/dev/null 2>&1 & exec /bin/sh -c "$1" 2>&1 3<&-'

async function execute(
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
  // Also end processes that it left behind, which would hold the pipes open.
  const gone = await tree.stop(GRACE_MS)
  // A process that escaped with another environment may hold the pipes forever.
  await within(PIPES_MS, closed, () => undefined)
  for (const stream of child.stdio) stream?.destroy()
  signal.throwIfAborted()
  const late = ending ?? `ended after ${timeoutMs / 1000} s: it took too long`
  return { ending: gone ? late : `${late}; one of its processes cannot be ended`, output: output.text() }
}

/** Returns how the process ended by itself, or undefined if `cut` came first. Throws if it could not start. */
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

/** Matches keys of model services and of Errand itself, which no command needs. */
const keys =
  /^(OPENAI_API_KEY|OPENAI_ADMIN_KEY|ANTHROPIC_API_KEY|ANTHROPIC_AUTH_TOKEN|CLAUDE_CODE_OAUTH_TOKEN|CODEX_API_KEY|COPILOT_PROVIDER_API_KEY|COPILOT_GITHUB_TOKEN|ERRAND_TOKEN|ADOS_TOKEN)$/

/** Returns the environment of the commands that the model runs. `step` is the environment of the step. */
export function commandEnvironment(
  base: NodeJS.ProcessEnv,
  step: Readonly<Record<string, string>>,
): Record<string, string> {
  const own = Object.entries(step).filter(([name]) => !keys.test(name))
  const passed = machine.flatMap((name) => {
    const value = base[name]
    return value === undefined ? [] : [[name, value]]
  })
  // Nobody can page through output or type a password.
  return {
    PAGER: 'cat',
    GIT_PAGER: 'cat',
    GIT_TERMINAL_PROMPT: '0',
    ...Object.fromEntries([...passed, ...own]),
  }
}

/** Keeps the beginning and the end of a command's output, regardless of its size. */
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
    // A character may be split only if something is missing between the two.
    if (this.#dropped === 0) return Buffer.concat([head, tail]).toString()
    return `${head}\n… (${this.#dropped} bytes left out)\n${tail}`
  }

  #trim(): void {
    const tail = Buffer.concat(this.#tail)
    const tailBytes = tail.subarray(Math.max(0, tail.length - this.#tailBytes))
    this.#dropped += tail.length - tailBytes.length
    // Copy it, because a slice would keep the memory of the whole.
    this.#tail = [Buffer.from(tailBytes)]
    this.#tailLength = tailBytes.length
  }
}
