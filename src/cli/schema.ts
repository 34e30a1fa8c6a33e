import { builtinActions } from '../contract/actions.ts'
import { workflowSchema } from '../engine/file/schema.ts'
import { command } from './command.ts'

export const schema = command({
  summary: 'Print the JSON Schema of workflow files, for editors.',
  options: {},
  examples: ['errand schema > errand.schema.json'],
  async run() {
    process.stdout.write(`${JSON.stringify(workflowSchema(builtinActions), null, 2)}\n`)
    return 0
  },
})
