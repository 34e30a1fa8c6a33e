import { parentPort, workerData } from 'node:worker_threads'
import { builtinActions } from '../../contract/actions.ts'
import { parseWorkflow } from './check.ts'
import type { CheckRequest } from './check-aside.ts'

/** The thread of `checkAside`: checks one file, then ends. */
const { text, agents } = workerData as CheckRequest
parentPort!.postMessage(parseWorkflow(text, { catalog: builtinActions, agents }))
