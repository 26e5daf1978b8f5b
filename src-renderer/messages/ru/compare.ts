// Texts of the compare page.
export default {};
