import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { agentsFolder } from '../../src/agents/install/native-binary.ts'
import { installedAgent, subjectNamed } from '../support/agent-subjects.ts'
import { eventually } from '../support/errand-command.ts'
import { startModelServer, writeFileScript } from '../support/model-server/server.ts'
import { guardsOf, type Programs, processesOf, startPrograms } from '../support/programs.ts'
import { sized } from '../support/size.ts'

/** The number of sessions of each agent. OpenCode takes 600 MB per process. */
const counts = {
  claude_code: sized('Claude Code at once', 3, 7),
  codex: sized('Codex at once', 3, 7),
  copilot: sized('Copilot at once', 2, 4),
  opencode: sized('OpenCode at once', 1, 2),
}

test('many agents at once on one runner each do their own work, and leave nothing', {
  timeout: 300_000,
}, async (context) => {
  for (const name of Object.keys(counts)) {
    const found = await installedAgent(name)
    if ('missing' in found) return context.skip(found.missing)
  }
  const programs = await startPrograms(context, {
    runnerEnv: { ERRAND_AGENTS_DIR: agentsFolder(process.env) },
  })
  const talks = Object.entries(counts).flatMap(([name, count]) =>
    Array.from({ length: count }, (_, index) => talk(programs, name, index)),
  )
  const meeting = new Meeting(talks.length)
  const server = await startModelServer({
    scriptFor: (key) => {
      const mine = talks.find((each) => each.key === key)
      return mine && meeting.before(writeFileScript(mine.file, mine.content, `${mine.run_id} is done.`))
    },
  })
  context.after(() => server.stop())

  await Promise.all(
    talks.map(({ run_id, name, key }) => {
      const { model, env } = subjectNamed(name)
      const agent = { agent: name, model, prompt: 'Write the file.', env: env(server.url, key) }
      return programs.client.runs.create({ run_id, agent })
    }),
  )
  for (const { run_id, file, content } of talks) {
    const run = await programs.ended(run_id)
    assert.equal(run.status, 'success', JSON.stringify(run))
    assert.equal(run.outputs?.ANSWER, `${run_id} is done.`)
    assert.equal(readFileSync(file, 'utf8').trimEnd(), content, run_id)
  }
  assert.ok(meeting.complete, 'they did not all run at once')
  assert.deepEqual(server.errors, [])
  const ours = [programs.hub.child.pid, programs.runner?.child.pid, ...guardsOf(programs.home)]
  const left = processesOf(programs.home).filter((pid) => !ours.includes(pid))
  assert.deepEqual(left.map(commandLine), [])
  await eventually('the removal of all attempt folders', () => attemptFolders(programs).length === 0)
})

function talk(programs: Programs, name: string, index: number) {
  const run_id = `${name.replaceAll('_', '-')}-${index}`
  const file = join(programs.runnerFolder, 'runs', run_id, 'made.txt')
  return { name, run_id, file, key: `key-${randomUUID()}`, content: `made by ${run_id}` }
}

/** Holds everyone until all have arrived. */
class Meeting {
  readonly #all = Promise.withResolvers<void>()
  #missing: number

  constructor(size: number) {
    this.#missing = size
  }

  get complete(): boolean {
    return this.#missing === 0
  }

  before(script: ReturnType<typeof writeFileScript>) {
    return async ({ index }: { index: number }) => {
      if (index === 0 && --this.#missing === 0) this.#all.resolve()
      await this.#all.promise
      return script[index] ?? { text: 'Done.' }
    }
  }
}

const attemptFolders = ({ runnerFolder }: Programs) => readdirSync(join(runnerFolder, 'attempts'))

function commandLine(pid: number): string {
  try {
    return `${pid} ${readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ')}`
  } catch {
    return `${pid}`
  }
}
