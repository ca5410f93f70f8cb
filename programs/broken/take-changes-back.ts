import { simple } from './simple.ts'

export default simple('takes changes of titles back')
