// Errand inside another program: an action of its own, a notifier, and a run id given by the caller.
//   npm run build && node_modules/.bin/node examples/embed.ts
import {
  type Action,
  BoundedOutputStore,
  builtinActionRegistry,
  builtinActions,
  Engine,
  LocalHost,
  MemoryRunStore,
  type Notifier,
} from 'errand'
import * as z from 'zod'

const greet: Action = {
  kind: 'inline',
  async run({ args }, { write }) {
    await write('stdout', `good day, ${args.name}\n`)
    return { exports: { GREETED: String(args.name) } }
  },
}
const greetContract = { args: z.strictObject({ name: z.string() }), raw: [], place: 'host' } as const
const notifier: Notifier = {
  notify: async ({ run_id, status, step }) =>
    console.log(`${run_id} is ${status}${step ? ` (${step})` : ''}`),
}

const store = new MemoryRunStore({ warn: console.warn })
const host = new LocalHost({ registry: { ...builtinActionRegistry, 'greet.say': greet } })
const outputs = new BoundedOutputStore({ spillDir: 'errand-output' })
const catalog = { ...builtinActions, 'greet.say': greetContract }
const engine = new Engine({
  store,
  host,
  outputs,
  catalog,
  notifier,
  notify: { maxAttempts: 3, delayMs: 500 },
})

await engine.submit({
  run_id: 'embedded-1',
  yaml: `
version: v0.1
name: embedded
steps:
  - {name: greet, action: greet.say, args: {name: Anna}}
  - {name: tell, action: cmd.run, args: {cmd: 'echo "$GREETED was greeted"'}}`,
})
for await (const event of engine.watch('embedded-1', 0)) {
  if (event.type === 'output') process.stdout.write(event.text ?? '')
}
console.log(`it ended ${(await engine.done('embedded-1')).status}`)
for (const part of [host, engine, outputs, store]) await part.close()
