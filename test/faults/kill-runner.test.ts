import test from 'node:test'
import { killInStorm } from './kills.ts'

test('50 kills of a runner affect no run, and leave nothing behind', (t) => killInStorm(t, 'runner'))
