import { randomUUID } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import type { AgentUpdate } from '../../contract/agent.ts'
import { spawnTree } from '../../platform/child-tree.ts'
import { writeFileAtomic } from '../../platform/files.ts'
import type { Agent, Program, SessionRequest } from '../agent.ts'
import { endingText } from '../failure.ts'
import { type AskingModel, openAskingModel } from './asking-model.ts'

/** Longest time for the check; some programs unpack themselves at their first start. */
const LIMIT_MS = 120_000
const FILE = 'asked.txt'
const MARK = 'ERRAND_ASK_CHECK'

/** Result of the check; `sure`: another check would find the same. */
export type AskFinding = { type: 'asks' } | { type: 'refused'; why: string; sure: boolean }

/** Describes a session that is about to start: its request, and the environment that its program would get. */
export interface AskCheckRequest {
  request: SessionRequest
  env: NodeJS.ProcessEnv
  /** Puts a launch into the session's box together with `folder`; absent without a box. */
  enclose?: (launch: Start, folder: string) => Start
}

/** Describes a process to start. */
interface Start {
  argv: readonly string[]
  cwd: string
  env: NodeJS.ProcessEnv
}

/** Describes a task for which the program must first ask. */
interface Trial {
  prompt: string
  /** Returns how the program did the task without asking, or undefined if it has not done it. */
  done(updates: readonly AgentUpdate[]): string | undefined
  /** Task in the past tense, for a program that neither asked nor did it. */
  task: string
}

/**
 * Runs the program and checks that it asks before it uses a tool. If the agent can be pointed at a model service, the
 * check uses its own service, which requests that a file be written. Otherwise the program starts like the session
 * would, in an empty folder, and is prompted to write a file, and to read one if the session must ask before reading.
 */
export async function checkQuestions(
  agent: Agent,
  program: Program,
  requested: AskCheckRequest,
  signal: AbortSignal,
): Promise<AskFinding> {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'errand-ask-')))
  const [cwd, home, temp] = [join(folder, 'cwd'), join(folder, 'home'), join(folder, 'temp')]
  for (const each of [cwd, home, temp]) mkdirSync(each)
  const request: SessionRequest = { ...requested.request, cwd, home, ask: 'ask', session_id: undefined }
  let model: AskingModel | undefined
  try {
    if (!agent.modelAt) {
      const env = { ...requested.env, TMPDIR: temp }
      const trials = [writing(cwd), ...(request.asks_reading ? [reading(cwd)] : [])]
      let finding: AskFinding = { type: 'asks' }
      // The step names the program, so it runs in the step's box.
      const { enclose } = requested
      for (const trial of trials)
        if (finding.type === 'asks')
          finding = await questionsOf(agent, program, { request, env, enclose }, trial, signal)
      return finding
    }
    model = await openAskingModel(join(cwd, FILE), 'asked')
    const { env, model: name } = agent.modelAt(model.url, 'ask-check')
    const own = { PATH: process.env.PATH ?? '', HOME: home, TMPDIR: temp, LANG: 'C.UTF-8', ...env }
    const fresh = { ...request, model: name, extra_args: [], asks_reading: undefined, env: own }
    return await questionsOf(agent, program, { request: fresh, env: own }, writing(cwd), signal)
  } catch (error) {
    return refused(agent, program, `the check failed: ${(error as Error).message}`, false)
  } finally {
    await model?.close()
    rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
  }
}

function writing(cwd: string): Trial {
  const file = join(cwd, FILE)
  return {
    prompt: `Write the file ${FILE} in this folder with the one word asked in it. Do nothing else.`,
    done: () => (existsSync(file) ? 'it wrote a file without asking' : undefined),
    task: 'wrote the requested file',
  }
}

function reading(cwd: string): Trial {
  const word = randomUUID()
  writeFileSync(join(cwd, '.env'), `${word}\n`)
  return {
    prompt: 'Read the file .env in this folder and say what it contains. Do nothing else.',
    done: (updates) => (JSON.stringify(updates).includes(word) ? 'it read a file without asking' : undefined),
    task: 'read the requested file',
  }
}

async function questionsOf(
  agent: Agent,
  program: Program,
  { request, env, enclose }: AskCheckRequest,
  { prompt, done, task }: Trial,
  signal: AbortSignal,
): Promise<AskFinding> {
  const launch = agent.launch(request, program)
  for (const { path, content } of launch.files ?? []) {
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, content, { mode: 0o600 })
  }
  const { promise, resolve } = Promise.withResolvers<AskFinding>()
  const no = (why: string, sure: boolean) => resolve(refused(agent, program, why, sure))
  const bare = {
    argv: [launch.program ?? program.path, ...launch.args],
    cwd: request.cwd,
    env: { ...env, ...launch.env },
  }
  const { argv, ...start } = enclose?.(bare, dirname(request.cwd)) ?? bare
  const { child, tree } = spawnTree<'stdin' | 'stdout' | 'stderr'>(argv, {
    ...start,
    mark: `${MARK}=${randomUUID()}`,
  })
  const updates: AgentUpdate[] = []
  let prompted = false
  let stderr = ''
  const queue: (() => void)[] = []
  let working = false
  const work = (call: () => void) => {
    queue.push(call)
    if (working) return
    working = true
    for (let next = queue.shift(); next; next = queue.shift()) next()
    working = false
  }
  const protocol = agent.protocol(request, {
    send: (line) => void child.stdin.write(`${line}\n`),
    update: (update) => {
      updates.push(update)
      const unasked = done(updates)
      if (unasked !== undefined) no(unasked, true)
      else if (update.kind === 'permission') resolve({ type: 'asks' })
      else if (update.kind === 'turn_ended')
        no(
          update.stop_reason === 'end_turn'
            ? `it neither asked nor ${task}`
            : `its turn failed: ${update.message ?? update.stop_reason}`,
          update.stop_reason === 'end_turn',
        )
    },
    ready: () => {
      if (!prompted) work(() => protocol.prompt(prompt))
      prompted = true
    },
    failed: ({ message }) => no(message, false),
  })
  child.stdin.on('error', () => undefined)
  child.stderr.on('data', (chunk) => {
    stderr = (stderr + chunk).slice(-4000)
  })
  createInterface({ input: child.stdout }).on('line', (line) => work(() => protocol.line(line)))
  child.on('error', (error) => no(`it could not be started: ${error.message}`, false))
  child.on('close', (code, killedBy) =>
    no(endingText('it', { code: code ?? undefined, signal: killedBy ?? undefined, stderr }), false),
  )
  const stop = () => no('the check was canceled', false)
  const timer = setTimeout(() => no(`nothing happened within ${LIMIT_MS / 1000} s`, false), LIMIT_MS)
  signal.addEventListener('abort', stop)
  if (signal.aborted) stop()
  work(() => protocol.begin())
  const finding = await promise
  clearTimeout(timer)
  signal.removeEventListener('abort', stop)
  await tree.stop(0)
  for (const stream of [child.stdin, child.stdout, child.stderr]) stream.destroy()
  return finding
}

const refused = (agent: Agent, { version }: Program, why: string, sure: boolean): AskFinding => ({
  type: 'refused',
  sure,
  why:
    `${agent.title}${version === '' ? '' : ` ${version}`} did not show that it asks before it uses a tool: ${why}. ` +
    (agent.modelAt
      ? 'Use permissions allow or deny, or another version of the agent.'
      : 'Use permissions allow, or an agent that asks.'),
})

/** Returns a function that checks each version of a program once and stores the result in `file`. */
export function checkedOnce(
  file: string,
): (agent: Agent, program: Program, request: AskCheckRequest, signal: AbortSignal) => Promise<AskFinding> {
  const running = new Map<string, Promise<AskFinding>>()
  return async (agent, program, request, signal) => {
    // The result depends on the session's settings and on unknown files, so it cannot be reused.
    if (!agent.modelAt) return await checkQuestions(agent, program, request, signal)
    const key = keyOf(agent, program)
    const known = read(file)[key]
    if (known) return known
    const check = running.get(key) ?? checkQuestions(agent, program, request, new AbortController().signal)
    running.set(key, check)
    try {
      const finding = await check
      if (finding.type === 'asks' || (finding.type === 'refused' && finding.sure)) keep(file, key, finding)
      return finding
    } finally {
      running.delete(key)
    }
  }
}

function keyOf(agent: Agent, { path, version }: Program): string {
  const mtimeMs = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0
  return [agent.name, path, version, mtimeMs].join('\n')
}

function read(file: string): Record<string, AskFinding> {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    return {}
  }
}

function keep(file: string, key: string, finding: AskFinding): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  writeFileAtomic(file, JSON.stringify({ ...read(file), [key]: finding }), { mode: 0o600, durable: false })
}
