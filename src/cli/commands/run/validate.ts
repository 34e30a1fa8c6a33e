import { builtinActions } from '../../../contract/actions.ts'
import { parseWorkflow } from '../../../engine/workflow-file/check.ts'
import { workflowSchema } from '../../../engine/workflow-file/schema.ts'
import { command } from '../../command.ts'
import { exitCodes } from '../../exit-codes.ts'
import { jsonOption, printJson } from '../../print.ts'
import { fileArgument, fileOption, problemsText, readSource } from '../../workflow-source.ts'
import { knownAgents } from '../agent/known-agents.ts'

export const validate = command({
  summary: 'Check a workflow file without running it, and show all mistakes.',
  args: '[file|-]',
  options: { ...fileOption, ...jsonOption },
  examples: ['errand validate flow.yaml', 'cat flow.yaml | errand validate - --json'],
  async run({ file, json }, args) {
    const source = await readSource(fileArgument(file, args))
    // Loading the agents reads many files, and most workflows need none.
    const agents = source.text.includes('agent.run') ? await knownAgents() : []
    const { workflow, problems } = parseWorkflow(source.text, {
      ...source,
      catalog: builtinActions,
      agents,
      warnsOfHub: true,
    })
    const valid = workflow !== undefined
    if (json) printJson({ valid, problems })
    else {
      process.stderr.write(problemsText(problems, source))
      const steps = (workflow?.steps.length ?? 0) + (workflow?.finally?.length ?? 0)
      const errors = problems.filter(({ severity }) => severity === 'error').length
      const shown = source.file ?? 'the workflow'
      if (valid)
        process.stdout.write(
          `${shown} is valid: "${workflow.name}", ${steps} step${steps === 1 ? '' : 's'}\n`,
        )
      else process.stderr.write(`${shown} has ${errors} mistake${errors === 1 ? '' : 's'}\n`)
    }
    return valid ? exitCodes.success : exitCodes.usage
  },
})

export const schema = command({
  summary: 'Print the JSON Schema of workflow files, for editors.',
  options: {},
  examples: ['errand schema > errand.schema.json'],
  async run() {
    process.stdout.write(`${JSON.stringify(workflowSchema(builtinActions), null, 2)}\n`)
    return 0
  },
})
