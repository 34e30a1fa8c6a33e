import { limitConformance } from './limit-conformance.ts'

limitConformance('watchdog')
