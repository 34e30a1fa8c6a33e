import type { ChildProcess } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { stat } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import * as z from 'zod'
import { spawnTree } from '../../../platform/process-ending.ts'
import { OutputEnds } from './output-ends.ts'
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
  await Promise.race([closed, sleep(PIPES_MS, undefined, { ref: false })])
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
