import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { type AgentSubject, allSubjects, installedAgent } from '../support/agent-subjects.ts'
import { baseImage, dockerHere, labelled, noteMade, removeLabelled } from '../support/docker/docker.ts'
import { eventually } from '../support/errand-command.ts'
import type { ModelRequest } from '../support/model-server/request.ts'
import { runTurn, startModelServer, type Turn } from '../support/model-server/server.ts'
import { guardsOf, type Programs, processesOf, startPrograms, workflowText } from '../support/programs.ts'
import { readIfThere, wholeLog } from '../support/programs-output.ts'
import { sandboxMissing } from '../support/runner/box-fixture.ts'
import { BOX_LABEL } from '../support/runner/container-fixture.ts'

const STAND_IN = join(import.meta.dirname, '../support/acp-agent-stand-in.ts')
const KEY = 'sk-ant-api03-the-machines-own-key-0123456789'
const COMMAND = 'touch began; while [ ! -e go ]; do sleep 0.02; done; echo went >>went'
/** The commands for the agent that needs no model. */
const LINES = [`run ${COMMAND}`, 'wait went', 'say The last of acp.', 'wait end']
const MESSAGE = (name: string) => `The first of ${name}. The last of ${name}.`.replaceAll(' ', '')

/** A point that all agents reach, and from which they continue together. */
class Gate {
  readonly #came = new Set<string>()
  readonly #opened = Promise.withResolvers<void>()

  come(name: string): Promise<void> {
    this.#came.add(name)
    return this.#opened.promise
  }

  async all(names: readonly string[]): Promise<void> {
    const missing = () => names.filter((name) => !this.#came.has(name))
    await eventually('all agents', () => missing().length === 0).catch((error) =>
      assert.fail(`${error.message}: ${missing()}`),
    )
  }

  open(): void {
    this.#opened.resolve()
  }
}

/** A model that holds its answers back at each moment. */
class HeldModel {
  readonly asked = new Gate()
  readonly streams = new Gate()
  readonly cut = new Gate()
  readonly ends = new Gate()
  readonly #used = new Set<string>()
  readonly #cut = new Set<string>()

  async answer(request: ModelRequest): Promise<Turn> {
    const name = /Work of (\w+)\./.exec(request.prompts.join('\n'))![1]!
    // Some agents put their cut answer after the results of the tool.
    if (request.toolResults.length > 0) this.#used.add(name)
    if (!this.#used.has(name)) {
      await this.asked.come(name)
      return { text: `The first of ${name}. `, ...runTurn(COMMAND), restAfter: this.streams.come(name) }
    }
    if (!this.#cut.has(name)) {
      this.#cut.add(name)
      void this.cut.come(name)
      // The built-in agent does not repeat a request if it has reported a part of the answer.
      return { text: name === 'builtin' ? '' : 'Half of it. ', hang: true }
    }
    return { text: `The last of ${name}.`, restAfter: this.ends.come(name) }
  }
}

/** A hub and a runner that are killed, and everything that runs beside them. */
class Killed {
  readonly programs: Programs
  readonly label: string

  constructor(programs: Programs, label: string) {
    this.programs = programs
    this.label = label
  }

  workspace(run: string): string {
    return join(this.programs.runnerFolder, 'runs', run)
  }

  killProxy(): void {
    const lock = readFileSync(join(this.programs.runnerFolder, 'sandbox/proxy/lock'), 'utf8')
    process.kill((JSON.parse(lock) as { pid: number }).pid, 'SIGKILL')
  }

  async startAgain(): Promise<void> {
    await this.programs.startHub()
    await this.programs.startRunner()
    await this.programs.runner!.until('Connected to the hub')
  }

  async agent(name: string, model: string | undefined, prompt: string): Promise<void> {
    const command = name === 'acp' ? [process.execPath, STAND_IN] : undefined
    const step = { name: 'one', action: 'agent.run', args: { agent: name, model, command, prompt } }
    await this.programs.client.runs.create({ run_id: name, yaml: workflowText([step]) })
  }

  /**
   * Asserts that only the hub, the runner with its guard, and the proxy are left, that no endpoint is open, and that
   * the engine has no containers of the runner.
   */
  async assertNothingLeft(): Promise<void> {
    const { runnerFolder, home, hub, runner } = this.programs
    const below = (folder: string) => (existsSync(folder) ? readdirSync(folder) : [])
    const left = async () => ({
      folders: ['attempts', 'sandbox/proxy/doors'].flatMap((each) => below(join(runnerFolder, each))),
      processes: processesOf(home).filter(
        (pid) =>
          ![hub.child.pid, runner!.child.pid, ...guardsOf(home)].includes(pid) &&
          !readIfThere(`/proc/${pid}/cmdline`).includes(join(runnerFolder, 'sandbox/proxy')),
      ),
      containers: (await labelled(this.label).catch(() => ({ containers: [] }))).containers,
    })
    let last = await left()
    await eventually('nothing left', async () => {
      last = await left()
      return Object.values(last).flat().length === 0
    }).catch((error) => assert.fail(`${error.message}: ${JSON.stringify(last)}`))
  }
}

/**
 * Runs all agents at once in boxes of this kind. Kills the hub, the runner and the proxy at each moment of their
 * turns.
 */
export async function testKills(isolation: 'sandbox' | 'container'): Promise<void> {
  const missing = isolation === 'container' ? await dockerHere() : sandboxMissing()
  const image = isolation === 'container' && !missing ? await baseImage('node:24-slim') : undefined
  const absent = new Map<string, string>()
  for (const { name } of allSubjects) {
    const found = await installedAgent(name)
    if ('missing' in found) absent.set(name, found.missing)
  }
  const subjects = allSubjects.filter(({ name }) => !absent.has(name))

  test(`hub, runner and proxy killed in the middle of turns of agents in a ${isolation}`, {
    skip: missing,
  }, async (t) => {
    const model = new HeldModel()
    const server = await startModelServer({ script: (request) => model.answer(request), keys: [KEY] })
    t.after(() => server.stop())
    const own = randomBytes(8).toString('hex')
    const label = `${BOX_LABEL}=${own}`
    noteMade('label', label)
    if (isolation === 'container') t.after(() => removeLabelled(label))
    const programs = await startPrograms(t, {
      prepare: ({ runnerFolder }) => {
        mkdirSync(join(runnerFolder, 'sandbox'), { recursive: true, mode: 0o700 })
        writeFileSync(join(runnerFolder, 'sandbox/containers-name'), own)
      },
      runnerEnv: environment(subjects, server.url, isolation, image),
    })
    const killed = new Killed(programs, label)
    const models = subjects.map(({ name }) => name)
    const names = [...models, 'acp']
    /** Returns the agents that have not got that far. */
    const without = (file: string) => names.filter((name) => !existsSync(join(killed.workspace(name), file)))
    const writeInAll = (file: string) => {
      for (const name of names) writeFileSync(join(killed.workspace(name), file), '')
    }
    for (const each of subjects) await killed.agent(each.name, each.model, `Work of ${each.name}.`)
    await killed.agent('acp', undefined, ['say The first of acp. ', ...LINES].join('\n'))

    // Before the first byte: the agents repeat the request by themselves.
    await model.asked.all(models)
    await programs.kill('hub', 'runner')
    killed.killProxy()
    model.asked.open()
    await killed.startAgain()
    // In mid-stream: everything they do meanwhile happens without hub and runner.
    await model.streams.all(models)
    await programs.kill('hub', 'runner')
    model.streams.open()
    await killed.startAgain()
    await eventually('the commands of all agents', () => without('began').length === 0)
    // While a tool is running.
    await programs.kill('hub', 'runner')
    killed.killProxy()
    await killed.startAgain()
    writeInAll('go')
    await model.cut.all(models)
    killed.killProxy()
    await model.ends.all(models)
    const went = names.map((name) => [name, readIfThere(join(killed.workspace(name), 'went'))])
    assert.deepEqual(
      went,
      names.map((name) => [name, 'went\n']),
    )
    // At the end.
    await programs.kill('hub', 'runner')
    model.ends.open()
    writeInAll('end')
    await killed.startAgain()

    for (const name of [...allSubjects.map((each) => each.name), 'acp'])
      await t.test(
        `${name} shows each word once, and succeeds`,
        {
          skip: absent.get(name) ?? false,
        },
        async () => {
          const { status, steps } = await programs.ended(name)
          const events = await wholeLog(programs.client, name)
          assert.equal(status, 'success', JSON.stringify(steps))
          const created = events.filter(({ type }) => type === 'attempt.created')
          assert.equal(created.length, 1)
          const updates = events.flatMap((event) => (event.type === 'agent.update' ? [event.update] : []))
          const text = updates.flatMap((each) => (each.kind === 'message' ? [each.text] : [])).join('')
          assert.equal(text.replaceAll('Half of it.', '').replaceAll(/\s/g, ''), MESSAGE(name), text)
        },
      )
    await killed.assertNothingLeft()
  })
}

function environment(
  subjects: readonly AgentSubject[],
  url: string,
  isolation: string,
  image: string | undefined,
): NodeJS.ProcessEnv {
  return {
    ...Object.assign({}, ...subjects.map((subject) => subject.env(url, KEY))),
    ERRAND_AGENTS_DIR: process.env.ERRAND_AGENTS_DIR ?? join(homedir(), '.errand', 'agents'),
    ERRAND_ISOLATION: isolation,
    ERRAND_SANDBOX_IMAGE: image,
    ERRAND_SANDBOX_MOUNTS: [STAND_IN, process.execPath].join(','),
  }
}
