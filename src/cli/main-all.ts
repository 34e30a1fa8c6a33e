export { dispatch as main } from './entry.ts'
