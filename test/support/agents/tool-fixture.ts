import { mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { AskMode } from '../../../src/agents/agent.ts'
import type { ToolAsk } from '../../../src/agents/builtin/session.ts'
import { ToolCalls, toolbox } from '../../../src/agents/builtin/tool-calls.ts'
import { commandEnvironment } from '../../../src/agents/builtin/tools/run-command.ts'
import type { AgentUpdateOf } from '../../../src/contract/agent.ts'

/** A folder with `cwd` in it, and the tools that work there. */
export class ToolFixture {
  readonly folder: string
  readonly cwd: string
  readonly asked: ToolAsk[] = []
  readonly updates: AgentUpdateOf<'tool'>[] = []
  readonly cancel = new AbortController()
  readonly #calls: ToolCalls
  #count = 0

  constructor(
    context: TestContext,
    options: { ask?: AskMode; asksReading?: boolean; decide?: (ask: ToolAsk) => 'allow' | 'deny' } = {},
  ) {
    const { ask = 'allow', asksReading = false, decide = () => 'allow' } = options
    this.folder = realpathSync(mkdtempSync(join(tmpdir(), 'errand-tools-')))
    context.after(() => rmSync(this.folder, { recursive: true, force: true }))
    this.cwd = mkdtempSync(join(this.folder, 'cwd-'))
    this.#calls = new ToolCalls({
      cwd: this.cwd,
      ask,
      asksReading,
      env: commandEnvironment(process.env, {}),
      tools: toolbox,
      port: {
        update: (update) => {
          if (update.kind === 'tool') this.updates.push(update)
        },
        permission: async (question) => {
          this.asked.push(question)
          return decide(question)
        },
      },
    })
  }

  /** Uses a tool and returns the result that the model receives. */
  async use(name: string, args: unknown): Promise<string> {
    const call = { id: `call_${++this.#count}`, name, arguments: JSON.stringify(args) }
    return await this.#calls.run(call, this.cancel.signal)
  }

  get last(): AgentUpdateOf<'tool'> | undefined {
    return this.updates.at(-1)
  }
}
