// Records sessions with agents, as their attempts' folders hold them: node test/sessions/record.ts [name ...]
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { builtinActionRegistry } from '../../src/actions/registry.ts'
import { agentsFolder } from '../../src/agents/install/native-binary.ts'
import { agentRegistry } from '../../src/agents/registry.ts'
import type { AgentUpdate } from '../../src/contract/agent.ts'
import { AttemptFacts } from '../../src/runner/attempts/attempt-folder.ts'
import type { Attempts, HeldAttempt } from '../../src/runner/ports.ts'
import { agentSubjects } from '../support/agent-subjects.ts'
import { runTurn, type Script, startModelServer, writeFileTurn } from '../support/model-server/server.ts'
import { attemptSpec, endOf, place, until } from '../support/runner/attempt-fixture.ts'
import { RECORDED, recordingOf, STAND_IN } from './recording.ts'

class Stage {
  readonly here = place()
  readonly #name: string
  readonly #secrets: Record<string, string> | undefined
  #attempts!: Attempts
  held!: HeldAttempt
  #inputs = 0

  constructor(name: string, secrets?: Record<string, string>) {
    this.#name = name
    this.#secrets = secrets
    this.open()
  }

  get cwd(): string {
    return join(this.here.path, 'workspaces/run_test')
  }

  open(): void {
    this.#attempts = this.here.open({
      registry: builtinActionRegistry,
      ownSecrets: this.#secrets,
      agents: {
        known: agentRegistry,
        folder: agentsFolder(process.env),
        sessionsDir: join(this.here.path, 'sessions'),
        allowedDirs: 'any',
      },
    })
  }

  async start(args: object, env: Record<string, string> = {}): Promise<void> {
    const outputs = { ANSWER: 'answer', OUT: 'stdout' } as const
    const spec = attemptSpec('agent.run', args, { attempt_id: 'run_test.1', env, outputs })
    this.held = await this.#attempts.start(spec, 1)
  }

  async standIn(prompt: string, args: object = {}): Promise<void> {
    await this.start({ prompt, agent: 'acp', command: [process.execPath, STAND_IN], ...args })
  }

  /** Continues the session in another process of the runner. */
  async restart(): Promise<void> {
    await this.#attempts.close()
    this.open()
    this.held = (await this.#attempts.recover())[0]!
  }

  give(input: object): void {
    this.held.input!({ input_id: `input-${++this.#inputs}`, ...input } as never)
  }

  prompt = (text: string) => this.give({ type: 'prompt', text })
  close = () => this.give({ type: 'close' })

  touch(file: string): void {
    mkdirSync(this.cwd, { recursive: true })
    writeFileSync(join(this.cwd, file), '')
  }

  of(kind: AgentUpdate['kind']): AgentUpdate[] {
    return this.held.reports.flatMap((each) =>
      each.type === 'update' && each.update.kind === kind ? [each.update] : [],
    )
  }

  async saw(kind: AgentUpdate['kind'], times = 1): Promise<void> {
    await until(() => this.of(kind).length >= times || this.held.ended, `${times} of ${kind}`)
    if (this.of(kind).length < times)
      throw new Error(`it ended: ${JSON.stringify(this.held.reports.slice(-3))}`)
  }

  async answer(which: number, decision: 'allow' | 'deny'): Promise<void> {
    await this.saw('permission', which)
    const permission = this.of('permission')[which - 1]!
    if (permission.kind === 'permission')
      this.give({ type: 'permission', request_id: permission.request_id, decision, who: 'ann' })
  }

  async save(): Promise<void> {
    const end = await endOf(this.held)
    const folder = join(this.here.path, 'attempts/run_test.1')
    const {
      cage: _,
      storage: __,
      ...facts
    } = AttemptFacts.parse(JSON.parse(readFileSync(join(folder, 'spec.json'), 'utf8')))
    const secrets = this.#secrets && { step: {}, own: this.#secrets }
    const text = recordingOf(folder, facts, this.here.path, secrets)
    writeFileSync(join(RECORDED, `${this.#name}.jsonl`), text)
    console.log(this.#name, text.length, JSON.stringify({ ...end, exports: undefined }))
    await this.#attempts.close()
    this.here[Symbol.dispose]()
  }
}

const scenarios: Record<string, (stage: Stage) => Promise<void>> = {
  'stand-in-asked': async (stage) => {
    await stage.standIn('say I begin\nthink hm\nask a.txt\nask b.txt\nsay end', {
      permissions: 'ask',
      interactive: true,
    })
    await stage.answer(1, 'allow')
    await stage.answer(2, 'deny')
    stage.prompt('say two\nhang')
    stage.prompt('say three\nwrite c.txt')
    await stage.saw('prompt', 2)
    await until(() => stage.of('message').length >= 3)
    stage.give({ type: 'cancel_turn' })
    await stage.saw('idle')
    stage.prompt('ask d.txt')
    await stage.saw('permission', 3)
    stage.give({ type: 'cancel_turn' })
    await stage.saw('turn_ended', 4)
    stage.close()
  },
  'stand-in-verified': async (stage) => {
    const verify = ['echo x >>tries; [ $(wc -l <tries) -ge 2 ] || { echo not yet; exit 4; }', 'test -e made']
    const output_schema = { type: 'object', required: ['n'] }
    await stage.standIn('write made\nsay {"n": 1}', {
      verify,
      verify_attempts: 3,
      output_schema,
      interactive: true,
    })
    await stage.saw('turn_ended', 2)
    stage.prompt('say {"n": 2}')
    stage.close()
  },
  'stand-in-budget': (stage) =>
    stage.standIn('write a\nsay 1\nwrite b\nsay 2\nwrite c\nsay 3\nhang', { budget: { turns: 2 } }),
  'stand-in-rules': (stage) => {
    const rules = [
      { decision: 'deny', paths: ['**/*.lock'] },
      { decision: 'allow', tools: ['edit'], paths: ['src/**'] },
    ]
    return stage.standIn('ask src/a.txt\nask src/b.lock\nask d.txt\nuse 10 20\nsay done', {
      permissions: { mode: 'rules', rules, otherwise: 'deny' },
      fail_on_denied: true,
    })
  },
  'stand-in-restarted': async (stage) => {
    await stage.standIn('chatter 30\nask a.txt\nwait go\nchatter 30', {
      permissions: 'ask',
      interactive: true,
    })
    await stage.saw('permission')
    await stage.restart()
    await stage.answer(1, 'allow')
    await until(() => stage.of('tool').length >= 2)
    await stage.restart()
    stage.touch('go')
    await stage.saw('idle')
    stage.prompt('exit 3')
    await stage.saw('turn_ended', 2)
    stage.close()
  },
  'stand-in-loaded-again': async (stage) => {
    await stage.standIn('say one', { interactive: true })
    await stage.saw('idle')
    const pid = Number(/session-(\d+)/.exec(JSON.stringify(stage.of('session')))?.[1])
    process.kill(pid, 'SIGKILL')
    await until(() =>
      readFileSync(join(stage.here.path, 'attempts/run_test.1/reports'), 'utf8').includes('"exited"'),
    )
    stage.prompt('say two')
    await stage.saw('idle', 2)
    stage.close()
  },
  'stand-in-secrets': async (stage) => {
    await stage.standIn(
      'say first kX7-qWz29fLm\nsay No4PrStUv8 and\nthink kX7-qWz29fLmNo4PrStUv8\nwrite kX7-qWz29fLmNo4PrStUv8.txt\nwait go\nsay kX7-qWz29fLmNo4PrStUv8',
      { verify: ['test -e once || { touch once; echo kX7-qWz29fLmNo4PrStUv8; exit 1; }'] },
    )
    await stage.saw('tool')
    await stage.restart()
    stage.touch('go')
  },
  'stand-in-exits': (stage) => stage.standIn('say well\nwrite a.txt\nexit 3'),
  'stand-in-not-started': (stage) =>
    stage.standIn('say x', { command: ['/bin/sh', '-c', 'echo "no licence" >&2; exit 3'] }),
}

/**
 * Records a session with the agent's real program, by its own protocol: a permission that is asked for and given, a
 * failing verify, a follow-up, and an interrupted command.
 */
const withModel =
  (name: string, model: string, env: (url: string, key: string) => Record<string, string>) =>
  async (stage: Stage): Promise<void> => {
    const script: Script = [
      { ...writeFileTurn(join(stage.cwd, 'made.txt'), 'made\n'), text: 'I write it.', thought: 'A thought.' },
      { text: 'It is made.' },
      { text: 'It passes now.' },
      // Codex leaves a long command running after the turn.
      name === 'codex' ? { text: 'Half a', hang: true } : runTurn('touch begun; sleep 600'),
      { text: 'Never said.' },
    ]
    const server = await startModelServer({ script })
    try {
      await stage.start(
        {
          ...{ prompt: 'Make it.', agent: name, model, permissions: 'ask', interactive: true },
          verify: ['test -e once || { touch once; echo not yet; exit 1; }'],
        },
        env(server.url, 'k'),
      )
      await stage.answer(1, 'allow')
      await stage.saw('idle')
      stage.prompt('Run it.')
      if (name === 'codex') await until(() => JSON.stringify(stage.of('message')).includes('Half'))
      else {
        await stage.answer(2, 'allow')
        await until(() => existsIn(stage, 'begun'))
      }
      stage.give({ type: 'cancel_turn' })
      await stage.saw('idle', 2)
      stage.close()
      await endOf(stage.held)
    } finally {
      await server.stop()
    }
  }

function existsIn(stage: Stage, file: string): boolean {
  try {
    readFileSync(join(stage.cwd, file))
    return true
  } catch {
    return false
  }
}

for (const { name, model, env } of agentSubjects)
  scenarios[name.replace('_', '-')] = withModel(name, model, env)
scenarios.builtin = withModel('builtin', 'gpt-4.1', (url, key) => ({
  OPENAI_BASE_URL: `${url}/v1`,
  OPENAI_API_KEY: key,
}))

const names = process.argv.slice(2)
for (const [name, scenario] of Object.entries(scenarios)) {
  if (names.length > 0 && !names.includes(name)) continue
  const stage = new Stage(name, name === 'stand-in-secrets' ? { KEY: 'kX7-qWz29fLmNo4PrStUv8' } : undefined)
  try {
    await scenario(stage)
    await stage.save()
  } catch (error) {
    console.error(name, error)
    await stage.held?.release()
    stage.here[Symbol.dispose]()
  }
}
