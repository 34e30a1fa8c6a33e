import { runTurn } from '../../test/support/model-server/server.ts'
import { taskPlace } from '../../test/support/tasks/task-place.ts'
import { median, type Row, timed } from '../measure.ts'

const ROUNDS = Number(process.env.R ?? 10)
const MOST_MS = 1500

/**
 * Measures the overhead of a coding task over its agent, on a repository that was seen before: the time from the
 * request to the open pull request, minus the time of the same agent with the same words in its own run.
 */
export async function tasks(): Promise<Row[]> {
  const closers: (() => unknown)[] = []
  try {
    const { repository, programs } = await taskPlace(
      { after: (close?: unknown) => void closers.push(close as () => unknown) },
      {
        script: ({ toolResults }) =>
          toolResults.length > 0 ? { text: 'It is made.' } : runTurn('echo made > made.txt'),
      },
    )
    const { client } = programs
    const agent = () =>
      timed(async () => {
        const { run_id } = await client.runs.create({
          agent: { agent: 'builtin', prompt: 'Make it.' },
        })
        let status = ''
        for await (const event of client.events(run_id))
          if (event.type === 'run.finished') status = event.status
        if (status !== 'success') throw new Error(`Run ${run_id} is ${status}`)
      })
    const steps = new Map<string, number[]>()
    const task = () =>
      timed(async () => {
        const { tasks } = await client.tasks.create({
          task: { title: 'Make it', repo_url: repository.cloneUrl },
        })
        const { id } = tasks[0]!
        let run = ''
        for await (const event of client.taskEvents(id)) {
          if (event.type === 'task.try_started') run = event.run_id
          if (event.type === 'task.try_ended' && event.status !== 'success')
            throw new Error(`${event.step}: ${event.message}`)
          if (event.type === 'task.try_ended') break
        }
        const { steps: views } = await client.runs.get(run)
        for (const { step: name, started_at, finished_at } of views)
          if (started_at && finished_at)
            steps.set(name, [...(steps.get(name) ?? []), Date.parse(finished_at) - Date.parse(started_at)])
      })
    await agent()
    await task()
    steps.clear()
    const alone: number[] = []
    const whole: number[] = []
    for (let round = 0; round < ROUNDS; round++) {
      alone.push(await agent())
      whole.push(await task())
    }
    const [own, all] = [median(alone), median(whole)]
    return [
      {
        name: "a coding task beside its agent's own time",
        unit: 'ms',
        value: all - own,
        budget: { what: `<= ${MOST_MS}`, holds: all - own <= MOST_MS },
        details: {
          task: all,
          agent: own,
          ...Object.fromEntries([...steps].map(([name, values]) => [name, median(values)])),
        },
      },
    ]
  } finally {
    for (const close of closers.reverse()) await close()
  }
}
