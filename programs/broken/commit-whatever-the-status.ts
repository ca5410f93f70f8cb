import { simple } from './simple.ts'

export default simple('commits whatever the status')
