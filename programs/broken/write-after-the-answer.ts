import { simple } from './simple.ts'

export default simple('writes after the answer')
