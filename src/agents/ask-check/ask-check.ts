import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { endTree } from '../../platform/process-ending.ts'
import type { Agent, Program, SessionRequest } from '../agent.ts'
import { endingText } from '../ending.ts'
import { type AskingModel, openAskingModel } from './asking-model.ts'

/** Some programs unpack themselves at their first start. */
const LIMIT_MS = 120_000
const FILE = 'asked.txt'
const MARK = 'ERRAND_ASK_CHECK'

/** sure: it would be the same again. */
export type AskFinding =
  | { type: 'asks' }
  | { type: 'unknown'; why: string }
  | { type: 'refused'; why: string; sure: boolean }

/** Runs the program once, against a model that wants a file to be written, and looks whether somebody is asked first. */
export async function checkAsks(agent: Agent, program: Program, signal: AbortSignal): Promise<AskFinding> {
  if (!agent.modelAt)
    return { type: 'unknown', why: `Whether ${agent.title} asks before it uses a tool could not be checked.` }
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'errand-ask-')))
  const [cwd, home, temp] = [join(folder, 'cwd'), join(folder, 'home'), join(folder, 'temp')]
  for (const each of [cwd, home, temp]) mkdirSync(each)
  const file = join(cwd, FILE)
  let model: AskingModel | undefined
  try {
    model = await openAskingModel(file, 'asked')
    const { env, model: name } = agent.modelAt(model.url, 'ask-check')
    const request: SessionRequest = {
      cwd,
      home,
      model: name,
      ask: 'ask',
      extra_args: [],
      new_session_id: randomUUID(),
      env: { PATH: process.env.PATH ?? '', HOME: home, TMPDIR: temp, LANG: 'C.UTF-8', ...env },
    }
    return await askedBy(agent, program, request, file, signal)
  } catch (error) {
    return refused(agent, program, `it could not be tried: ${(error as Error).message}`, false)
  } finally {
    await model?.close()
    rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
  }
}

async function askedBy(
  agent: Agent,
  program: Program,
  request: SessionRequest,
  file: string,
  signal: AbortSignal,
): Promise<AskFinding> {
  const launch = agent.launch(request, program)
  for (const { path, content } of launch.files ?? []) {
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, content, { mode: 0o600 })
  }
  const { promise, resolve } = Promise.withResolvers<AskFinding>()
  const no = (why: string, sure: boolean) => resolve(refused(agent, program, why, sure))
  const mark = randomUUID()
  const child = spawn(launch.program ?? program.path, [...launch.args], {
    cwd: request.cwd,
    detached: true,
    env: { ...request.env, ...launch.env, [MARK]: mark },
  })
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
      if (existsSync(file)) no('it wrote a file and asked nobody', true)
      else if (update.kind === 'permission') resolve({ type: 'asks' })
      else if (update.kind === 'turn_ended')
        no(
          update.stop_reason === 'end_turn'
            ? 'it neither asked nor wrote the file it was to write'
            : `its turn failed: ${update.message ?? update.stop_reason}`,
          update.stop_reason === 'end_turn',
        )
    },
    ready: () => {
      if (!prompted) work(() => protocol.prompt(`Write the file ${FILE}.`))
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
  const stop = () => no('the check was broken off', false)
  const timer = setTimeout(() => no(`nothing happened within ${LIMIT_MS / 1000} s`, false), LIMIT_MS)
  signal.addEventListener('abort', stop)
  if (signal.aborted) stop()
  work(() => protocol.begin())
  const finding = await promise
  clearTimeout(timer)
  signal.removeEventListener('abort', stop)
  await ended(child, mark)
  return finding
}

async function ended(child: ChildProcess, mark: string): Promise<void> {
  await endTree({ group: child.pid, mark: `${MARK}=${mark}` }, 0)
  for (const stream of [child.stdin, child.stdout, child.stderr]) stream?.destroy()
}

const refused = (agent: Agent, { version }: Program, why: string, sure: boolean): AskFinding => ({
  type: 'refused',
  sure,
  why:
    `${agent.title}${version === '' ? '' : ` ${version}`} did not show that it asks before it uses a tool: ${why}. ` +
    'Use permissions allow or deny, or another version of it.',
})
