// The overridden ops, compiled for the instruction set avx2.
import { testOverrides } from './cases';

testOverrides('avx2');
