import { command } from '../../command.ts'
import { connect } from '../../connection.ts'
import { hubOptions } from '../../option-values.ts'

const answer = (decision: 'approve' | 'reject') =>
  command({
    summary:
      decision === 'approve'
        ? 'Approve a step that waits for approval.'
        : 'Reject a step that waits for approval.',
    args: '<run-id> <step>',
    options: {
      comment: { type: 'string', short: 'm', value: 'TEXT', help: 'Comment to store with the answer' },
      ...hubOptions,
    },
    examples: [`errand ${decision} run_0123 deploy -m "checked with Anna"`],
    async run({ comment, ...hub }, [runId, step]) {
      await connect(hub).runs[decision](runId!, { step: step!, comment })
      process.stdout.write(`"${step}" is ${decision === 'approve' ? 'approved' : 'rejected'}.\n`)
      return 0
    },
  })

export const approve = answer('approve')
export const reject = answer('reject')
