import { command } from './command.ts'
import { connect } from './connection.ts'
import { hubOptions } from './hub-options.ts'
import { lifetimeSeconds } from './lifetime.ts'
import { jsonOption, printJson } from './print.ts'

export const enrollToken = command({
  summary: 'Make a token that makes one machine a runner; its text is shown this once.',
  options: {
    expires: { type: 'string', value: 'TIME', help: 'How long it is good: 15m, 1h (default), 7d' },
    group: { type: 'string', value: 'GROUP', help: 'The one group that the runner may serve' },
    name: { type: 'string', value: 'NAME', help: 'What it is called in errand tokens list' },
    ...hubOptions,
    ...jsonOption,
  },
  examples: ['errand runners enroll-token', 'errand runners enroll-token --group gpu --expires 15m'],
  async run({ expires, group, name, json, ...hub }) {
    const client = connect(hub)
    const expires_in_seconds = lifetimeSeconds('--expires', expires)
    const made = await client.runners.createEnrollment({ expires_in_seconds, group, name })
    if (json) printJson(made)
    else {
      process.stdout.write(`${made.token}\n`)
      process.stderr.write(
        `Good once, until ${made.expires_at}. On the machine: errand runner enroll --hub ${client.url} --token TOKEN\n`,
      )
    }
    return 0
  },
})
